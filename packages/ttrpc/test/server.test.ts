import { Code } from "@nacre/protocols";
import { describe, expect, it } from "vitest";
import {
  FrameType,
  MAX_MESSAGE_LENGTH,
  RpcError,
  type ServerOptions,
  TtrpcServer,
  transportPair,
} from "../src/index.ts";
import { encodeRequestTail, encodeRoute } from "../src/message.ts";
import { Echo, EchoBackend } from "./echo.ts";
import { FakeClock } from "./fake-clock.ts";
import { frameBytes, RawPeer, requestBytes } from "./peer.ts";
import { Random } from "./random.ts";

const { Now, Soon, Held, Throw, Reject, Big, Context, Unencodable, Unhandled, Stream, Deaf } = Echo.methods;

function setup(opts: ServerOptions = {}) {
  const backend = new EchoBackend();
  const errors: [message: string, method: string][] = [];
  const server = new TtrpcServer({
    onError: (error, method) => errors.push([error instanceof Error ? error.message : String(error), method]),
    ...opts,
  }).addService(Echo, backend.handlers());
  const [a, b] = transportPair();
  const connection = server.serve(b);
  const peer = new RawPeer(a);
  const request = (id: number, method: { service: string; name: string }, text: string): void =>
    peer.send(frameBytes(id, FrameType.REQUEST, requestBytes(method, text)));
  return { server, backend, connection, peer, request, errors };
}

describe("a server answers", () => {
  it("in the same turn and later, each on its stream", async () => {
    const { peer, request } = setup();
    request(1, Now, "a");
    request(3, Soon, "b");
    expect(await peer.reply()).toEqual([1, 0, "now a"]);
    expect(await peer.reply()).toEqual([3, 0, "soon b"]);
  });

  it("out of order, and keeps nothing of what it answered", async () => {
    const { peer, request, backend, connection } = setup();
    for (const [i, id] of [1, 3, 5].entries()) request(id, Held, `h${i}`);
    const held = await backend.heldCalls(3);
    expect(connection.inFlight).toBe(3);
    for (const i of [2, 0, 1]) held[i]?.answer(`r${i}`);
    expect([await peer.reply(), await peer.reply(), await peer.reply()]).toEqual([
      [5, 0, "r2"],
      [1, 0, "r0"],
      [3, 0, "r1"],
    ]);
    expect(connection.inFlight).toBe(0);
  });

  it("many requests of one chunk with one write", async () => {
    const backend = new EchoBackend();
    const server = new TtrpcServer().addService(Echo, backend.handlers());
    const [a, b] = transportPair();
    let writes = 0;
    const write = b.write.bind(b);
    b.write = (chunks) => {
      writes++;
      expect(chunks.length).toBe(1);
      return write(chunks);
    };
    server.serve(b);
    const peer = new RawPeer(a);
    const frames = Array.from({ length: 50 }, (_, i) =>
      frameBytes(2 * i + 1, FrameType.REQUEST, requestBytes(i % 2 === 0 ? Now : Now, `${i}`)),
    );
    peer.send(Buffer.concat(frames));
    await peer.next(50);
    expect(writes).toBe(1);
    peer.send(
      Buffer.concat(frames.map((_, i) => frameBytes(2 * i + 1, FrameType.REQUEST, requestBytes(Soon, `${i}`)))),
    );
    await peer.next(50);
    expect(writes).toBe(2);
  });

  it("when its requests come one byte at a time", async () => {
    const { peer } = setup();
    const bytes = Buffer.concat([
      frameBytes(1, FrameType.REQUEST, requestBytes(Now, "slow")),
      frameBytes(3, FrameType.REQUEST, requestBytes(Soon, "slower")),
    ]);
    for (const byte of bytes) peer.send(Uint8Array.of(byte));
    expect(await peer.reply()).toEqual([1, 0, "now slow"]);
    expect(await peer.reply()).toEqual([3, 0, "soon slower"]);
  });

  it("a stream id again, once its first call is over", async () => {
    const { peer, request } = setup();
    request(9, Now, "a");
    request(9, Now, "b");
    request(1, Now, "lower");
    expect([await peer.reply(), await peer.reply(), await peer.reply()]).toEqual([
      [9, 0, "now a"],
      [9, 0, "now b"],
      [1, 0, "now lower"],
    ]);
  });

  it.each([1, 2, 4, 0xff])("whatever the flags of the request are (%i)", async (flags) => {
    const { peer } = setup();
    peer.send(frameBytes(1, FrameType.REQUEST, requestBytes(Now, "f"), flags));
    expect(await peer.reply()).toEqual([1, 0, "now f"]);
  });

  it("with metadata and deadline in the context", async () => {
    const { peer } = setup();
    const tail = encodeRequestTail(5e9, new Map([["k", ["v", "w"]]]));
    peer.send(frameBytes(1, FrameType.REQUEST, Buffer.concat([encodeRoute("test.Echo", "Context"), tail])));
    expect(JSON.parse((await peer.reply())[2])).toEqual({
      metadata: { k: ["v", "w"] },
      hasDeadline: true,
      method: "/test.Echo/Context",
    });
    peer.send(frameBytes(1, FrameType.REQUEST, encodeRoute("test.Echo", "Context")));
    expect(JSON.parse((await peer.reply())[2])).toEqual({ metadata: {}, hasDeadline: false, method: Context.path });
  });

  it("a payload of 4 MiB less its own framing, and says when a reply is too long for a frame", async () => {
    const { peer, request } = setup();
    request(1, Big, `${MAX_MESSAGE_LENGTH - 5}`);
    expect((await peer.next()).payload.length).toBe(MAX_MESSAGE_LENGTH);
    request(3, Big, `${MAX_MESSAGE_LENGTH - 4}`);
    expect(await peer.reply()).toEqual([
      3,
      Code.RESOURCE_EXHAUSTED,
      `message length ${MAX_MESSAGE_LENGTH + 1} exceed maximum message size of 4194304`,
    ]);
    request(5, Now, "after");
    expect(await peer.reply()).toEqual([5, 0, "now after"]);
  });
});

describe("a server refuses", () => {
  const cases: [name: string, method: { service: string; name: string }, code: number, text: string][] = [
    ["an unknown method", { service: "test.Echo", name: "Nope" }, Code.UNIMPLEMENTED, "Nope method"],
    ["an empty method", { service: "test.Echo", name: "" }, Code.UNIMPLEMENTED, " method"],
    ["a method in another case", { service: "test.Echo", name: "now" }, Code.UNIMPLEMENTED, "now method"],
    ["a method without a handler", Unhandled, Code.UNIMPLEMENTED, "Unhandled method"],
    [
      "an unknown service",
      { service: "test.No", name: "Now" },
      Code.INVALID_ARGUMENT,
      "test.No service does not exist",
    ],
    ["an empty service", { service: "", name: "Now" }, Code.INVALID_ARGUMENT, " service does not exist"],
    ["a streaming method", Stream, Code.UNIMPLEMENTED, "streaming is not supported: /test.Echo/Stream"],
  ];
  it.each(cases)("%s", async (_name, method, code, text) => {
    const { peer, request } = setup();
    request(1, method, "x");
    expect(await peer.reply()).toEqual([1, code, text]);
    request(3, Now, "after");
    expect(await peer.reply()).toEqual([3, 0, "now after"]);
  });

  it.each([0, 2, 0xfffffffe])("stream id %i, which is even", async (id) => {
    const { peer, request } = setup();
    request(id, Now, "x");
    expect(await peer.reply()).toEqual([id, 3, "stream id must be odd"]);
  });

  it("a stream id whose call is in flight, and that call goes on", async () => {
    const { peer, request, backend } = setup();
    request(1, Held, "first");
    request(1, Held, "second");
    expect(await peer.reply()).toEqual([1, 3, "stream id 1 is in use"]);
    (await backend.heldCalls(1))[0]?.answer("done");
    expect(await peer.reply()).toEqual([1, 0, "done"]);
    expect(backend.held.length).toBe(1);
  });

  it("stream data on an unknown stream", async () => {
    const { peer } = setup();
    peer.send(frameBytes(41, FrameType.DATA, Buffer.from("abc")));
    expect(await peer.reply()).toEqual([41, 3, "Stream is no longer active"]);
  });

  it("stream data for a unary call in flight, which is over then", async () => {
    const { peer, request, backend, connection } = setup();
    request(1, Held, "a");
    const [call] = await backend.heldCalls(1);
    peer.send(frameBytes(1, FrameType.DATA, Buffer.from("abc")));
    expect(await peer.reply()).toEqual([1, 3, "unary call /test.Echo/Held takes no stream data"]);
    expect(call?.signal.aborted).toBe(true);
    request(3, Now, "after");
    expect(await peer.reply()).toEqual([3, 0, "now after"]);
    expect(connection.inFlight).toBe(0);
  });

  it("nothing of a frame type it does not know, nor a response: it ignores them", async () => {
    const { peer, request } = setup();
    peer.send(frameBytes(1, 9, Buffer.from("abc")), frameBytes(1, FrameType.RESPONSE, Buffer.from("abc")));
    request(3, Now, "after");
    expect(await peer.reply()).toEqual([3, 0, "now after"]);
  });

  it.each([
    ["ffffff", "Unexpected EOF"],
    ["ffffffffff", "Incorrect varint"],
    ["0a02fffe", "Invalid UTF-8 sequence"],
  ])("the envelope %s", async (bytes, text) => {
    const { peer } = setup();
    peer.send(frameBytes(1, FrameType.REQUEST, Buffer.from(bytes, "hex")));
    expect(await peer.reply()).toEqual([1, 3, text]);
  });

  it("a payload that does not decode", async () => {
    const { peer, errors } = setup();
    const payload = Buffer.from("1a02fffe", "hex");
    peer.send(frameBytes(1, FrameType.REQUEST, Buffer.concat([encodeRoute("test.Echo", "Now"), payload])));
    expect(await peer.reply()).toEqual([1, 2, "ttrpc err: Invalid UTF-8 sequence"]);
    expect(errors).toEqual([["Invalid UTF-8 sequence", Now.path]]);
  });

  it("a frame above 4 MiB, and the connection lives on", async () => {
    const { peer, request } = setup();
    const long = frameBytes(1, FrameType.REQUEST, new Uint8Array(MAX_MESSAGE_LENGTH + 30));
    peer.send(long.subarray(0, 1000));
    expect(await peer.reply()).toEqual([1, 3, "message length 4194334 exceed maximum message size of 4194304"]);
    peer.send(long.subarray(1000));
    request(3, Now, "after");
    expect(await peer.reply()).toEqual([3, 0, "now after"]);
  });
});

describe("a handler's failure", () => {
  it.each([Throw, Reject])("is its RpcError: $name", async (method) => {
    const { peer, request, errors } = setup();
    request(1, method, "rpc");
    expect(await peer.reply()).toEqual([1, Code.NOT_FOUND, "no such thing"]);
    expect(errors).toEqual([]);
  });

  it.each([Throw, Reject])("is INTERNAL with causes and without a stack: $name", async (method) => {
    const { peer, request, errors, backend } = setup();
    backend.errors.set("chain", new Error("create", { cause: new Error("mount", { cause: new Error("ENOENT") }) }));
    request(1, method, "chain");
    expect(await peer.reply()).toEqual([1, 13, "create\n\nCaused by:\n    0: mount\n    1: ENOENT"]);
    request(3, method, "nothing under this name: undefined is thrown");
    expect(await peer.reply()).toEqual([3, 13, "unknown error"]);
    expect(errors[0]).toEqual(["create", method.path]);
  });

  it("is cut off where its text is endless", async () => {
    const { peer, request, backend } = setup();
    backend.errors.set("long", new Error("x".repeat(5 << 20)));
    request(1, Throw, "long");
    expect((await peer.reply())[2].length).toBe((1 << 20) + 3);
  });

  it("is INTERNAL when its reply does not encode", async () => {
    const { peer, request } = setup();
    request(1, Unencodable, "");
    expect(await peer.reply()).toEqual([1, 13, "expected a text"]);
  });
});

describe("a deadline", () => {
  const withTimeout = (id: number, name: string, ns: number): Uint8Array =>
    frameBytes(
      id,
      FrameType.REQUEST,
      Buffer.concat([encodeRoute("test.Echo", name), encodeRequestTail(ns, undefined)]),
    );

  it("answers `timeout`, aborts the handler, drops its late answer and forgets the call", async () => {
    const clock = new FakeClock();
    const { peer, backend, connection } = setup({ clock });
    peer.send(withTimeout(1, "Held", 300e6));
    const [call] = await backend.heldCalls(1);
    clock.advance(299);
    expect(call?.signal.aborted).toBe(false);
    clock.advance(1);
    expect(await peer.reply()).toEqual([1, Code.DEADLINE_EXCEEDED, "timeout"]);
    expect(call?.signal.reason).toBeInstanceOf(RpcError);
    call?.answer("late");
    peer.send(withTimeout(1, "Now", 0));
    expect(await peer.reply()).toEqual([1, 0, "now "]);
    expect(connection.inFlight).toBe(0);
  });

  it("that is over before it begins does not stop an answer in the same turn", async () => {
    const { peer } = setup({ clock: new FakeClock() });
    peer.send(withTimeout(1, "Now", 1));
    expect(await peer.reply()).toEqual([1, 0, "now "]);
  });

  it("below zero is none", async () => {
    const clock = new FakeClock();
    const { peer, backend } = setup({ clock });
    const minusOne = Buffer.from("20ffffffffffffffffff01", "hex");
    peer.send(frameBytes(1, FrameType.REQUEST, Buffer.concat([encodeRoute("test.Echo", "Held"), minusOne])));
    const [call] = await backend.heldCalls(1);
    expect(clock.armed).toBe(0);
    call?.answer("fine");
    expect(await peer.reply()).toEqual([1, 0, "fine"]);
  });
});

describe("the end of a connection", () => {
  it("by a client that closed its sending side: waiting calls are aborted and told, then it ends", async () => {
    const { peer, request, backend, server } = setup();
    request(1, Held, "a");
    const [call] = await backend.heldCalls(1);
    peer.transport.end();
    expect(await peer.reply()).toEqual([1, Code.CANCELLED, "client closed the connection"]);
    await peer.until(() => peer.closed);
    expect(call?.signal.aborted).toBe(true);
    expect(server.connections.size).toBe(0);
  });

  it("by a client that vanishes: handlers are aborted, nothing stays", async () => {
    const clock = new FakeClock();
    const { peer, backend, server, connection } = setup({ clock });
    peer.send(
      frameBytes(
        1,
        FrameType.REQUEST,
        Buffer.concat([encodeRoute("test.Echo", "Held"), encodeRequestTail(60e9, undefined)]),
      ),
    );
    const [call] = await backend.heldCalls(1);
    peer.transport.destroy();
    await connection.closed;
    expect(call?.signal.aborted).toBe(true);
    expect(server.connections.size).toBe(0);
    expect(clock.armed).toBe(0);
    await Promise.resolve();
    expect(connection.inFlight).toBe(0);
  });

  it("in the middle of a frame", async () => {
    const { peer, connection } = setup();
    peer.send(frameBytes(1, FrameType.REQUEST, new Uint8Array(100)).subarray(0, 50));
    peer.transport.end();
    await connection.closed;
    await peer.until(() => peer.closed);
    expect(peer.frames).toEqual([]);
  });

  it("by a client whose handler does not stop: dropped when its time is over", async () => {
    const clock = new FakeClock();
    const { peer, request, backend, connection, server } = setup({ clock, limits: { halfOpenMs: 70 } });
    request(1, Deaf, "a");
    await backend.deaf.promise;
    peer.transport.end();
    await new Promise<void>((resolve) => void setImmediate(resolve));
    clock.advance(69);
    expect(server.connections.size).toBe(1);
    clock.advance(1);
    await connection.closed;
    expect(server.connections.size).toBe(0);
    expect(clock.armed).toBe(0);
  });

  it("by the server: calls in flight are answered, new ones are refused", async () => {
    const { peer, request, backend, server } = setup();
    request(1, Held, "a");
    const [call] = await backend.heldCalls(1);
    const closing = server.close();
    request(3, Now, "too late");
    expect(await peer.reply()).toEqual([3, Code.UNAVAILABLE, "server is closing"]);
    call?.answer("still");
    expect(await peer.reply()).toEqual([1, 0, "still"]);
    await peer.until(() => peer.ended);
    peer.transport.end();
    await closing;
    expect(peer.frames).toEqual([]);
  });

  it("by the server when grace is over: aborted", async () => {
    const clock = new FakeClock();
    const { peer, request, backend, server } = setup({ clock });
    request(1, Held, "a");
    const [call] = await backend.heldCalls(1);
    const closing = server.close({ graceMs: 100 });
    clock.advance(100);
    await closing;
    expect(call?.signal.aborted).toBe(true);
    await peer.until(() => peer.closed);
  });

  it("of a server that is closing: a new connection ends at once", async () => {
    const { server } = setup();
    void server.close({ graceMs: 0 });
    const [a, b] = transportPair();
    server.serve(b);
    const peer = new RawPeer(a);
    await peer.until(() => peer.ended);
  });
});

describe("back-pressure", () => {
  it("stops reading at the limit of calls in flight and goes on below it", async () => {
    const { peer, request, backend } = setup({ limits: { maxInFlight: 2 } });
    for (const id of [1, 3, 5]) request(id, Held, `${id}`);
    // All three were in the inbox, each its own chunk: the third is not taken.
    const held = await backend.heldCalls(2);
    await new Promise<void>((resolve) => void setImmediate(resolve));
    expect(held.length).toBe(2);
    held[0]?.answer("go");
    expect(await peer.reply()).toEqual([1, 0, "go"]);
    expect((await backend.heldCalls(3)).length).toBe(3);
  });

  it("stops reading at the limit of request bytes", async () => {
    const { peer, request, backend } = setup({ limits: { maxInFlightBytes: 100 } });
    for (const id of [1, 3]) request(id, Held, "x".repeat(100));
    const held = await backend.heldCalls(1);
    await new Promise<void>((resolve) => void setImmediate(resolve));
    expect(held.length).toBe(1);
    held[0]?.answer("");
    await peer.next();
    expect((await backend.heldCalls(2)).length).toBe(2);
  });

  it("stops reading while a client does not read its replies; nothing is lost when it does", async () => {
    const { peer, request, connection } = setup();
    peer.transport.pause();
    for (let i = 0; i < 100; i++) request(2 * i + 1, Big, "100000");
    await new Promise<void>((resolve) => void setImmediate(resolve));
    peer.transport.resume();
    for (let i = 0; i < 100; i++) expect((await peer.reply())[2].length).toBe(100_000);
    expect(connection.inFlight).toBe(0);
  });

  it("drops a client that never reads once what waits for it passes the limit", async () => {
    const { peer, request, backend, connection } = setup({ limits: { maxUnsentBytes: 1 << 20 } });
    for (let i = 1; i <= 20; i++) request(2 * i + 1, Held, "");
    const held = await backend.heldCalls(20);
    peer.transport.pause();
    for (const call of held) call.answer("x".repeat(100_000));
    await connection.closed;
    expect(connection.inFlight).toBe(0);
  });
});

describe("random input to a live server (seeded)", () => {
  it("gives a status or silence, never a crash, and the server goes on", async () => {
    for (let seed = 1; seed <= 300; seed++) {
      const random = new Random(seed);
      const { peer, connection, server } = setup();
      for (let i = 0; i < 20; i++) {
        const kind = random.int(4);
        const body =
          kind === 0
            ? random.bytes(random.int(50))
            : Buffer.from(requestBytes([Now, Soon, Throw, Big][random.int(4)] ?? Now, `${random.int(100)}`));
        for (let n = random.int(3); n > 0 && body.length > 0; n--) body[random.int(body.length)] = random.int(256);
        if (kind === 3) peer.send(random.bytes(random.int(30)));
        else peer.send(frameBytes(random.int(50), random.int(5), body, random.int(8)));
      }
      peer.transport.end();
      await peer.until(() => peer.closed);
      expect(connection.inFlight, `seed ${seed}`).toBe(0);
      expect(server.connections.size, `seed ${seed}`).toBe(0);
    }
  });
});

it("a service is added once", () => {
  const { server, backend } = setup();
  expect(() => server.addService(Echo, backend.handlers())).toThrow("service test.Echo was added before");
});
