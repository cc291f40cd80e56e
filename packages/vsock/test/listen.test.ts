import { chmodSync, existsSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { spawnSync } from "node:child_process";
import type { Transport } from "@nacre/ttrpc";
import { describe, expect, it, onTestFinished } from "vitest";
import { dial, type Listener, listen } from "../src/index.ts";
import { Accepted, folder, Recorder } from "./sockets.ts";

async function listening(address: string): Promise<{ listener: Listener; accepted: Accepted<Transport> }> {
  const accepted = new Accepted<Transport>();
  const listener = await listen(address, accepted.push);
  onTestFinished(() => listener.close());
  return { listener, accepted };
}

async function joined(address: string): Promise<{ client: Recorder; server: Recorder; listener: Listener }> {
  const { listener, accepted } = await listening(address);
  const client = new Recorder(await dial(listener.address, { timeoutMs: 60_000 }));
  const server = new Recorder(await accepted.next());
  return { client, server, listener };
}

const addresses: [scheme: string, address: () => string][] = [
  ["unix", () => `unix://${folder()}/a.sock`],
  ["abstract unix", () => `unix://@nacre-test-${process.pid}-${Math.trunc(performance.now() * 1000)}`],
  ["tcp", () => "tcp://127.0.0.1:0"],
  ["tcp over IPv6", () => "tcp://[::1]:0"],
];

describe.each(addresses)("%s", (_scheme, address) => {
  it("carries bytes both ways, ends each direction by itself, closes when both have ended", async () => {
    const { client, server } = await joined(address());
    client.send("ping");
    await server.until((s) => s.text === "ping");
    client.transport.end();
    await server.until((s) => s.ended);
    server.send("still answered");
    server.transport.end();
    await client.until((c) => c.closed);
    await server.until((s) => s.closed);
    expect(client.text).toBe("still answered");
    expect([client.error, server.error]).toEqual([undefined, undefined]);
  });

  it("sends several chunks in order", async () => {
    const { client, server } = await joined(address());
    client.transport.write([Buffer.from("a"), Buffer.from("b"), Buffer.from("c")]);
    await server.until((s) => s.text === "abc");
    client.transport.destroy();
    server.transport.destroy();
  });

  it("pushes back when the other side does not read, and loses nothing", async () => {
    const { client, server } = await joined(address());
    server.transport.pause();
    let sent = 0;
    while (client.transport.write([Buffer.alloc(64 << 10, sent % 251)])) sent++;
    sent++;
    expect(server.received.length).toBe(0);
    server.transport.resume();
    await client.until((c) => c.drains > 0);
    await server.until((s) => s.received.length === sent * (64 << 10));
    client.transport.destroy();
    server.transport.destroy();
  });

  it("tells the peer when one side is destroyed", async () => {
    const { client, server } = await joined(address());
    client.transport.destroy(new Error("why"));
    await client.until((c) => c.closed);
    expect(client.error?.message).toBe("why");
    await server.until((s) => s.ended || s.closed);
    server.transport.write([Buffer.from("into the void")]);
    server.transport.destroy();
    await server.until((s) => s.closed);
    expect(server.transport.write([Buffer.from("after")])).toBe(true);
  });
});

describe("listening on a path", () => {
  it("makes a socket of mode 0600 that is gone after close; open connections go on", async () => {
    const path = join(folder(), "a.sock");
    const { client, server, listener } = await joined(`unix://${path}`);
    expect(statSync(path).mode & 0o777).toBe(0o600);
    await listener.close();
    await listener.close();
    expect(existsSync(path)).toBe(false);
    client.send("on");
    await server.until((s) => s.text === "on");
    client.transport.destroy();
    server.transport.destroy();
    await expect(dial(`unix://${path}`)).rejects.toMatchObject({ code: "refused" });
  });

  it("replaces a socket that a dead process left", async () => {
    const path = join(folder(), "a.sock");
    const script = `require("net").createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, "SIGKILL"))`;
    spawnSync(process.execPath, ["-e", script]);
    expect(existsSync(path)).toBe(true);
    await expect(dial(`unix://${path}`)).rejects.toMatchObject({ code: "refused" });
    const { client } = await joined(`unix://${path}`);
    client.transport.destroy();
  });

  it("refuses one that somebody answers on", async () => {
    const path = join(folder(), "a.sock");
    const { listener, accepted } = await listening(`unix://${path}`);
    await expect(listen(`unix://${path}`, () => {})).rejects.toMatchObject({
      code: "in-use",
      message: `listen on unix://${path}: another server answers there`,
    });
    new Recorder(await accepted.next()).transport.destroy();
    const client = new Recorder(await dial(listener.address));
    new Recorder(await accepted.next()).transport.destroy();
    await client.until((c) => c.ended || c.closed);
    client.transport.destroy();
  });

  it("leaves a file alone that is no socket", async () => {
    const path = join(folder(), "file");
    writeFileSync(path, "precious");
    await expect(listen(`unix://${path}`, () => {})).rejects.toMatchObject({ code: "in-use" });
    expect(existsSync(path)).toBe(true);
  });

  it("says which folder is missing", async () => {
    const path = join(folder(), "no/such/a.sock");
    await expect(listen(`unix://${path}`, () => {})).rejects.toMatchObject({
      message: expect.stringContaining(path) as string,
    });
  });

  it("takes another mode", async () => {
    const path = join(folder(), "a.sock");
    const listener = await listen(`unix://${path}`, () => {}, { mode: 0o660 });
    expect(statSync(path).mode & 0o777).toBe(0o660);
    chmodSync(path, 0o600);
    await listener.close();
  });
});

describe("other addresses", () => {
  it("a TCP port in use", async () => {
    const { listener } = await listening("tcp://127.0.0.1:0");
    await expect(listen(listener.address, () => {})).rejects.toMatchObject({ code: "in-use" });
  });

  it("a hybrid port is not for listening", async () => {
    await expect(listen("hvsock:///tmp/x:1", () => {})).rejects.toMatchObject({ code: "address" });
  });
});

describe("dialling", () => {
  it("is aborted before and while it waits, and leaves nothing open", async () => {
    const controller = new AbortController();
    controller.abort();
    const to = "tcp://127.0.0.1:9";
    await expect(dial(to, { signal: controller.signal })).rejects.toMatchObject({ code: "aborted" });
    const path = join(folder(), "h.sock");
    const silent = await listening(`unix://${path}`);
    const later = new AbortController();
    const waiting = dial(`hvsock://${path}:1`, { signal: later.signal });
    const server = new Recorder(await silent.accepted.next());
    await server.until((s) => s.text === "CONNECT 1\n");
    later.abort();
    await expect(waiting).rejects.toMatchObject({ code: "aborted", message: `connect to hvsock://${path}:1: aborted` });
    await server.until((s) => s.ended || s.closed);
    server.transport.destroy();
  });

  it("gives up after its time", async () => {
    const path = join(folder(), "h.sock");
    const silent = await listening(`unix://${path}`);
    await expect(dial(`hvsock://${path}:1`, { timeoutMs: 20 })).rejects.toMatchObject({
      code: "timeout",
      message: `connect to hvsock://${path}:1: no answer within 20 ms`,
    });
    new Recorder(await silent.accepted.next()).transport.destroy();
  });
});
