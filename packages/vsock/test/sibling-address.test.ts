import { describe, expect, it } from "vitest";

import { siblingAddress } from "../src/index.ts";

describe("siblingAddress", () => {
  it.each([
    ["vsock://-1:1024", "vsock://-1:1025"],
    ["vsock://3:1024", "vsock://3:1025"],
    ["unix:///run/vsock/1024.sock", "unix:///run/vsock/1025.sock"],
    ["unix:///run/agent.sock", undefined],
    ["unix://@abstract", undefined],
    ["tcp://127.0.0.1:1024", undefined],
  ])("of %s is %s", (address, sibling) => {
    expect(siblingAddress(address, 1025)).toBe(sibling);
  });
});
