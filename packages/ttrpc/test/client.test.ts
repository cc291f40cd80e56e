import { Code } from "@nacre/protocols";
import { describe, expect, it } from "vitest";
import { FrameType, MAX_MESSAGE_LENGTH, TtrpcClient, transportPair } from "../src/index.ts";
import { encodeStatusResponse } from "../src/message.ts";
import { Echo, echoPair } from "./echo.ts";
import { FakeClock } from "./fake-clock.ts";
import { frameBytes, RawPeer } from "./peer.ts";
import { Random } from "./random.ts";

const { Now, Soon, Held, Throw, Big, Context, Stream } = Echo.methods;

/** A client whose server is the test itself. */
function rawServer(clock = new FakeClock()): { client: TtrpcClient; peer: RawPeer; clock: FakeClock } {
  const [a, b] = transportPair();
  return { client: new TtrpcClient(a, { clock }), peer: new RawPeer(b), clock };
}

const ok = (id: number, text: string): Uint8Array =>
  frameBytes(id, FrameType.RESPONSE, Buffer.concat([Uint8Array.of(0x12, text.length), Buffer.from(text)]));

describe("a client and our server", () => {
  it("call and answer", async () => {
    const { client } = echoPair();
    expect(await client.call(Now, { text: "a" })).toEqual({ text: "now a" });
    expect(await client.call(Soon, { text: "" })).toEqual({ text: "soon " });
    await expect(client.call(Throw, { text: "rpc" })).rejects.toMatchObject({ code: 5, message: "no such thing" });
  });

  it("run a thousand calls at once", async () => {
    const { client } = echoPair();
    const calls = Array.from({ length: 1000 }, (_, i) => client.call(i % 2 === 0 ? Now : Soon, { text: `${i}` }));
    const texts = (await Promise.all(calls)).map((r) => r.text);
    expect(texts).toEqual(texts.map((_, i) => `${i % 2 === 0 ? "now" : "soon"} ${i}`));
    expect(client.inFlight).toBe(0);
  });

  it("carry metadata and time-out", async () => {
    const { client } = echoPair();
    const reply = await client.call(Context, { text: "" }, { timeoutMs: 1000, metadata: new Map([["a", ["b"]]]) });
    expect(JSON.parse(reply.text)).toEqual({ metadata: { a: ["b"] }, hasDeadline: true, method: Context.path });
  });

  it("carry messages up to the limit, both ways", async () => {
    const { client } = echoPair();
    const text = "y".repeat(MAX_MESSAGE_LENGTH - 100);
    expect((await client.call(Now, { text })).text.length).toBe(text.length + 4);
    expect((await client.call(Big, { text: "4000000" })).text.length).toBe(4_000_000);
  });

  it("refuse before sending what is too long, and go on", async () => {
    const { client } = echoPair();
    await expect(client.call(Now, { text: "y".repeat(MAX_MESSAGE_LENGTH) })).rejects.toMatchObject({
      code: Code.INVALID_ARGUMENT,
      message: `message length ${MAX_MESSAGE_LENGTH + 21} exceed maximum message size of 4194304`,
    });
    await expect(client.call(Stream, { text: "" })).rejects.toMatchObject({ code: Code.UNIMPLEMENTED });
    expect((await client.call(Now, { text: "b" })).text).toBe("now b");
  });
});

describe("a client", () => {
  it("uses odd stream ids, each once, and takes replies in any order", async () => {
    const { client, peer } = rawServer();
    const calls = ["a", "b", "c"].map((text) => client.call(Now, { text }));
    await peer.until(() => peer.frames.length === 3);
    expect(peer.frames.map((f) => [f.id, f.type, f.flags])).toEqual([
      [1, 1, 0],
      [3, 1, 0],
      [5, 1, 0],
    ]);
    peer.send(ok(5, "C"), ok(1, "A"), ok(3, "B"));
    expect((await Promise.all(calls)).map((r) => r.text)).toEqual(["A", "B", "C"]);
  });

  it("writes the calls of one turn together", async () => {
    const [a, b] = transportPair();
    let writes = 0;
    const write = a.write.bind(a);
    a.write = (chunks) => {
      writes++;
      return write(chunks);
    };
    const peer = new RawPeer(b);
    const client = new TtrpcClient(a);
    for (let i = 0; i < 20; i++) void client.call(Now, { text: `${i}` });
    await peer.until(() => peer.frames.length === 20);
    expect(writes).toBe(1);
    peer.send(...Array.from({ length: 20 }, (_, i) => ok(2 * i + 1, "")));
  });

  it("times out by its own clock and drops the late reply", async () => {
    const { client, peer, clock } = rawServer();
    const call = client.call(Held, { text: "" }, { timeoutMs: 50 });
    const failed = expect(call).rejects.toMatchObject({ code: Code.DEADLINE_EXCEEDED, message: "timeout" });
    clock.advance(50);
    await failed;
    expect(client.inFlight).toBe(0);
    peer.send(ok(1, "late"));
    const next = client.call(Now, { text: "" });
    await peer.until(() => peer.frames.length === 2);
    peer.send(ok(3, "next"));
    expect((await next).text).toBe("next");
  });

  it("gives up by signal, before or after sending, and leaves no listener", async () => {
    const { client } = rawServer();
    const controller = new AbortController();
    let listeners = 0;
    const { signal } = controller;
    const add = signal.addEventListener.bind(signal);
    const remove = signal.removeEventListener.bind(signal);
    signal.addEventListener = (...args: Parameters<typeof add>) => {
      listeners++;
      add(...args);
    };
    signal.removeEventListener = (...args: Parameters<typeof remove>) => {
      listeners--;
      remove(...args);
    };
    const call = client.call(Held, { text: "" }, { signal: controller.signal });
    expect(listeners).toBe(1);
    const reason = new Error("enough");
    controller.abort(reason);
    await expect(call).rejects.toMatchObject({ code: Code.CANCELLED, cause: reason });
    expect(listeners).toBe(0);
    const again = client.call(Held, { text: "" }, { signal: controller.signal });
    await expect(again).rejects.toMatchObject({ code: Code.CANCELLED });
    expect(client.inFlight).toBe(0);
  });

  it.each([
    ["closes its sending side", (peer: RawPeer) => peer.transport.end()],
    ["vanishes", (peer: RawPeer) => peer.transport.destroy(new Error("reset"))],
  ])("rejects all that waits when the server %s, and all that follows", async (_name, go) => {
    const { client, peer, clock } = rawServer();
    const calls = [client.call(Held, { text: "" }), client.call(Held, { text: "" }, { timeoutMs: 1000 })];
    const failed = Promise.all(calls.map((c) => expect(c).rejects.toMatchObject({ code: Code.UNAVAILABLE })));
    await peer.until(() => peer.frames.length === 2);
    go(peer);
    await failed;
    await client.closed;
    await expect(client.call(Now, { text: "" })).rejects.toMatchObject({ code: Code.UNAVAILABLE });
    expect(clock.armed).toBe(0);
  });

  it("closes: what waits is cancelled, the server sees the end", async () => {
    const { client, peer } = rawServer();
    const call = client.call(Held, { text: "" });
    const failed = expect(call).rejects.toMatchObject({ code: Code.CANCELLED, message: "client closed" });
    await peer.next();
    client.close();
    client.close();
    await failed;
    await client.closed;
    await peer.until(() => peer.closed);
  });

  it("turns replies it cannot use into errors of that call only", async () => {
    const { client, peer } = rawServer();
    const bad = async (frame: (id: number) => Uint8Array, code: number, message: string | RegExp) => {
      const call = client.call(Now, { text: "" });
      const failed = expect(call).rejects.toMatchObject({
        code,
        message: typeof message === "string" ? message : (expect.stringMatching(message) as string),
      });
      const { id } = await peer.next();
      peer.send(frame(id));
      await failed;
    };
    await bad((id) => frameBytes(id, FrameType.RESPONSE, Buffer.from("ffffff", "hex")), 13, "reply: Unexpected EOF");
    await bad((id) => frameBytes(id, FrameType.RESPONSE, Buffer.from("1202fffe", "hex")), 13, "reply does not decode");
    await bad((id) => frameBytes(id, FrameType.DATA, Buffer.from("abc")), 13, "expected a response, got stream data");
    await bad(
      (id) => frameBytes(id, FrameType.RESPONSE, new Uint8Array(MAX_MESSAGE_LENGTH + 1)),
      8,
      "message length 4194305 exceed maximum message size of 4194304",
    );
    await bad((id) => frameBytes(id, FrameType.RESPONSE, encodeStatusResponse(99, "odd")), 99, "odd");
    const call = client.call(Now, { text: "" });
    peer.send(
      ok(999, "nobody asked"),
      frameBytes(11, 7, Buffer.from("later version")),
      ok((await peer.next()).id, "fine"),
    );
    expect((await call).text).toBe("fine");
  });

  it("does not collect without end for a server that never reads", async () => {
    const [a, b] = transportPair();
    const client = new TtrpcClient(a, { maxUnsentBytes: 1 << 20 });
    const peer = new RawPeer(b);
    peer.transport.pause();
    const codes = new Set<number>();
    for (let i = 0; i < 100; i++) {
      client.call(Now, { text: "x".repeat(100_000) }).catch((e: { code: number }) => codes.add(e.code));
      await Promise.resolve();
    }
    expect([...codes]).toEqual([Code.RESOURCE_EXHAUSTED]);
    expect(client.inFlight).toBeLessThan(20);
    client.close();
    await client.closed;
  });

  it("survives garbage (seeded): each call ends", async () => {
    for (let seed = 1; seed <= 200; seed++) {
      const random = new Random(seed);
      const { client, peer } = rawServer();
      const calls = Array.from({ length: 5 }, (_, i) => client.call(Now, { text: `${i}` }));
      const settled = Promise.allSettled(calls);
      await peer.until(() => peer.frames.length === 5);
      for (let i = 0; i < 10; i++) {
        peer.send(
          random.int(3) === 0
            ? random.bytes(20)
            : frameBytes(random.int(10), random.int(4), random.bytes(random.int(20))),
        );
      }
      peer.transport.end();
      await settled;
      await client.closed;
      expect(client.inFlight, `seed ${seed}`).toBe(0);
    }
  });
});
