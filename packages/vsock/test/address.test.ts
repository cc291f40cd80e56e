import { describe, expect, it } from "vitest";
import { formatAddress, parseAddress } from "../src/index.ts";

describe("addresses", () => {
  it.each([
    ["vsock://-1:1024", { scheme: "vsock", cid: 0xffffffff, port: 1024 }],
    ["vsock://2:10240", { scheme: "vsock", cid: 2, port: 10240 }],
    ["vsock://3:4294967295", { scheme: "vsock", cid: 3, port: 4294967295 }],
    ["hvsock:///run/vm/hybrid.sock:1024", { scheme: "hvsock", path: "/run/vm/hybrid.sock", port: 1024 }],
    ["hvsock:///with:colon:7", { scheme: "hvsock", path: "/with:colon", port: 7 }],
    ["unix:///run/agent.sock", { scheme: "unix", path: "/run/agent.sock" }],
    ["unix://@name", { scheme: "unix", path: "@name" }],
    ["tcp://127.0.0.1:0", { scheme: "tcp", host: "127.0.0.1", port: 0 }],
    ["tcp://localhost:80", { scheme: "tcp", host: "localhost", port: 80 }],
    ["tcp://[::1]:8080", { scheme: "tcp", host: "::1", port: 8080 }],
  ])("%s is parsed and printed", (url, address) => {
    expect(parseAddress(url)).toEqual(address);
    expect(formatAddress(parseAddress(url))).toBe(url);
  });

  it.each([
    ["", "expected vsock://, hvsock://, unix:// or tcp://"],
    ["/run/agent.sock", "expected vsock://, hvsock://, unix:// or tcp://"],
    ["http://a:1", "expected vsock://, hvsock://, unix:// or tcp://"],
    ["vsock://3", "expected a port"],
    ["vsock://:1024", 'expected a context id from 0 to 4294967295, got ""'],
    ["vsock://-2:1024", 'expected a context id from 0 to 4294967295, got "-2"'],
    ["vsock://3:4294967296", 'expected a port from 0 to 4294967295, got "4294967296"'],
    ["vsock://3:0x10", 'expected a port from 0 to 4294967295, got "0x10"'],
    ["vsock://3: 1", 'expected a port from 0 to 4294967295, got " 1"'],
    ["hvsock://relative:1", "expected an absolute path or @name"],
    ["hvsock://@name:1", "expected an absolute path before the port"],
    ["unix://", "expected an absolute path or @name"],
    ["unix:///", "expected an absolute path or @name"],
    ["unix://@", "expected an absolute path or @name"],
    ["unix://relative", "expected an absolute path or @name"],
    ["unix:///a\0b", "expected a path without zero bytes"],
    [`unix:///${"x".repeat(107)}`, "expected a path of at most 107 bytes, got 108"],
    [`unix:///${"ä".repeat(54)}`, "expected a path of at most 107 bytes, got 109"],
    ["tcp://:80", "expected host:port"],
    ["tcp://::1:80", "expected host:port"],
    ["tcp://a:65536", 'expected a port from 0 to 65535, got "65536"'],
  ])("%j is refused", (url, message) => {
    expect(() => parseAddress(url)).toThrow(
      expect.objectContaining({ code: "address", message: `address ${JSON.stringify(url)}: ${message}` }),
    );
  });
});
