import { connect, type Socket } from "node:net";
import { once } from "node:events";
import { join } from "node:path";
import type { Transport } from "@nacre/ttrpc";
import { describe, expect, it, onTestFinished } from "vitest";
import { dial, HybridVsock, type HybridOptions, listen, type VsockError } from "../src/index.ts";
import { Accepted, folder, Recorder } from "./sockets.ts";

async function setup(opts: HybridOptions = {}) {
  const dir = folder();
  const accepted = new Accepted<Transport>();
  const guest = await listen(`unix://${dir}/1024.sock`, accepted.push);
  const refusals = new Accepted<VsockError>();
  const path = join(dir, "hybrid.sock");
  const hybrid = await HybridVsock.listen(
    path,
    (port) => (port === 1024 ? guest.address : port === 1026 ? `unix://${dir}/nobody.sock` : undefined),
    { onRefused: refusals.push, ...opts },
  );
  onTestFinished(async () => {
    await hybrid.close();
    await guest.close();
  });
  return { hybrid, path, accepted, refusals };
}

/** A caller that writes bytes of the test's choosing. */
async function caller(path: string): Promise<{ socket: Socket; text: () => string; closed: Promise<unknown> }> {
  const socket = connect({ path, allowHalfOpen: true });
  socket.on("error", () => {});
  const closed = new Promise((resolve) => {
    socket.once("close", resolve).once("end", resolve);
  });
  await once(socket, "connect");
  let text = "";
  socket.setEncoding("latin1").on("data", (s: string) => (text += s));
  onTestFinished(() => void socket.destroy());
  return { socket, text: () => text, closed };
}

describe("the hybrid multiplexer", () => {
  it("joins a caller to the port it asks for, both ways, with half-close", async () => {
    const { hybrid, path, accepted } = await setup();
    const client = new Recorder(await dial(`hvsock://${path}:1024`));
    const guest = new Recorder(await accepted.next());
    client.send("to the guest");
    guest.send("to the host");
    await guest.until((g) => g.text === "to the guest");
    await client.until((c) => c.text === "to the host");
    client.transport.end();
    await guest.until((g) => g.ended);
    guest.send(", and more");
    guest.transport.end();
    await client.until((c) => c.closed);
    await guest.until((g) => g.closed);
    expect(client.text).toBe("to the host, and more");
    expect(hybrid.address).toBe(`unix://${path}`);
  });

  it("passes on what comes right behind the line, and takes the line one byte at a time", async () => {
    const { path, accepted } = await setup();
    const { socket, text } = await caller(path);
    for (const c of "CONNECT 1024\n") socket.write(c);
    socket.write("early");
    const guest = new Recorder(await accepted.next());
    await guest.until((g) => g.text === "early");
    guest.send("x");
    while (text() !== "OK 1024\nx") await once(socket, "data");
  });

  it("carries much data with back-pressure", async () => {
    const { path, accepted } = await setup();
    const client = new Recorder(await dial(`hvsock://${path}:1024`));
    const guest = new Recorder(await accepted.next());
    const block = Buffer.alloc(1 << 20, 7);
    let sent = 0;
    guest.transport.pause();
    while (client.transport.write([block])) sent += block.length;
    sent += block.length;
    guest.transport.resume();
    await guest.until((g) => g.received.length === sent);
    client.transport.destroy();
    await guest.until((g) => g.ended || g.closed);
    guest.transport.destroy();
  });

  it.each([
    ["an unknown port", "CONNECT 9\n", "port 9 is closed", "refused"],
    ["a port nobody listens on", "CONNECT 1026\n", "ENOENT", "refused"],
    ["another word", "HELLO 1024\n", 'expected CONNECT and a port, got "HELLO 1024"', "handshake"],
    ["a port that is no number", "CONNECT -1\n", 'expected CONNECT and a port, got "CONNECT -1"', "handshake"],
    ["a port above 32 bits", "CONNECT 4294967296\n", "expected CONNECT and a port", "handshake"],
    ["a line that does not end", "C".repeat(100), "expected a line of at most 64 bytes", "handshake"],
    ["a long line", `CONNECT ${"0".repeat(60)}1024\n`, "expected a line of at most 64 bytes", "handshake"],
  ])("turns away %s", async (_name, bytes, message, code) => {
    const { hybrid, path, refusals } = await setup();
    const { socket, text, closed } = await caller(path);
    socket.write(bytes);
    await closed;
    const error = await refusals.next();
    expect(error.message).toContain(message);
    expect(error.code).toBe(code);
    expect(text()).toBe("");
    expect(hybrid.open).toBe(0);
  });

  it("turns away a caller that ends before its line, or never sends one", async () => {
    const patient = await setup();
    const early = await caller(patient.path);
    early.socket.end("CONN");
    await early.closed;
    expect((await patient.refusals.next()).message).toContain("got the end of the connection");
    const { path, refusals } = await setup({ handshakeMs: 20 });
    const silent = await caller(path);
    await silent.closed;
    expect(await refusals.next()).toMatchObject({ code: "timeout" });
  });

  it("turns away callers above its limit and has room again when one leaves", async () => {
    const { path, refusals, accepted } = await setup({ maxConnections: 1 });
    const first = new Recorder(await dial(`hvsock://${path}:1024`));
    const guest = new Recorder(await accepted.next());
    await expect(dial(`hvsock://${path}:1024`)).rejects.toMatchObject({ code: expect.any(String) as string });
    expect((await refusals.next()).message).toContain("expected at most 1 callers");
    first.transport.destroy();
    await guest.until((g) => g.ended || g.closed);
    guest.transport.destroy();
    await guest.until((g) => g.closed);
  });

  it("reports a refused port to the one who dials", async () => {
    const { path } = await setup();
    await expect(dial(`hvsock://${path}:7`)).rejects.toMatchObject({
      message: expect.stringContaining(`connect to hvsock://${path}:7`) as string,
    });
  });

  it("drops everything when it closes", async () => {
    const { hybrid, path, accepted } = await setup();
    const client = new Recorder(await dial(`hvsock://${path}:1024`));
    const guest = new Recorder(await accepted.next());
    await hybrid.close();
    await client.until((c) => c.ended || c.closed);
    await guest.until((g) => g.ended || g.closed);
    client.transport.destroy();
    guest.transport.destroy();
    expect(hybrid.open).toBe(0);
    await expect(dial(`hvsock://${path}:1024`)).rejects.toMatchObject({ code: "refused" });
  });
});

describe("the caller's half", () => {
  it("takes any line that begins with OK, and refuses others", async () => {
    const dir = folder();
    for (const [answer, fine] of [
      ["OK 1073741824\n", true],
      ["OK\n", true],
      ["NO\n", false],
      ["x".repeat(200), false],
    ] as const) {
      const accepted = new Accepted<Transport>();
      const server = await listen(`unix://${dir}/s.sock`, accepted.push);
      const dialled = dial(`hvsock://${dir}/s.sock:5`).then(
        (t) => (t.destroy(), "connected"),
        (e: VsockError) => e.code,
      );
      const peer = new Recorder(await accepted.next());
      await peer.until((p) => p.text === "CONNECT 5\n");
      peer.send(answer);
      expect(await dialled, answer).toBe(fine ? "connected" : "handshake");
      await peer.until((p) => p.ended || p.closed);
      peer.transport.destroy();
      await server.close();
    }
  });
});
