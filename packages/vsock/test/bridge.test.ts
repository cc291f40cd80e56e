import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";
import { mkdtempDisposableSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Duplex, duplexPair } from "node:stream";

import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { BridgeGuest, BridgeHost, HELLO, MAX_ANSWERS, MAX_CHANNELS } from "../src/bridge.ts";
import { encodeFrame, encodeNumber, type Frame, FrameDecoder, FrameType, MAX_PAYLOAD } from "../src/bridge-frame.ts";
import { VsockError } from "../src/error.ts";

const { signal } = new AbortController();

/** All bytes of a stream, whose other direction goes on: an iterator would end it. */
async function all(stream: Duplex): Promise<string> {
  const chunks: Buffer[] = [];
  stream.on("data", (chunk: Buffer) => chunks.push(chunk));
  await once(stream, "end");
  return Buffer.concat(chunks).toString();
}

describe("a bridge", () => {
  let folder: ReturnType<typeof mkdtempDisposableSync>;
  let host: BridgeHost;
  let guest: BridgeGuest;
  let ends: [Duplex, Duplex];
  let callers: Socket[];
  const server = createServer({ allowHalfOpen: true }, (socket) => callers.push(socket.on("error", () => {})));

  beforeEach(async () => {
    folder = mkdtempDisposableSync(join(tmpdir(), "bridge-"));
    callers = [];
    const path = join(folder.path, "7.sock");
    await new Promise<void>((listening) => server.listen(path, listening));
    ends = duplexPair();
    ends[1].write(HELLO);
    guest = new BridgeGuest(ends[1], async (port) => {
      if (port !== 7) throw new Error("nobody");
      const socket = connect({ path, allowHalfOpen: true });
      await once(socket, "connect");
      return socket;
    });
    host = await BridgeHost.open(ends[0], signal);
  });
  afterEach(async () => {
    host.close();
    await guest.closed;
    for (const caller of callers) caller.destroy();
    await new Promise((closed) => server.close(closed));
    folder.remove();
  });

  it("carries both directions of a connection, each to its own end", async () => {
    const near = await host.dial(7);
    const [far] = callers;
    if (far === undefined) throw new Error("expected a caller");
    near.end("there");
    expect(await all(far)).toBe("there");
    far.end("back, after the other direction has ended");
    expect(await all(near)).toBe("back, after the other direction has ended");
  });

  it("says where nobody listens", async () => {
    await expect(host.dial(8)).rejects.toThrow(new VsockError("refused", "port 8: nobody listens"));
    await host.dial(7);
  });

  it("goes on for all others when one reader stops", async () => {
    const stopped = await host.dial(7);
    callers[0]?.write(Buffer.alloc(4 << 20));
    await once(stopped, "readable");
    const near = await host.dial(7);
    near.end();
    callers[1]?.end("x".repeat(3 << 20));
    expect(await all(near)).toHaveLength(3 << 20);
  });

  it("carries much in both directions at once", async () => {
    const near = await host.dial(7);
    const [far] = callers;
    if (far === undefined) throw new Error("expected a caller");
    const bytes = "y".repeat(8 << 20);
    near.end(bytes);
    far.end(bytes);
    const [a, b] = await Promise.all([all(near), all(far)]);
    expect([a.length, b.length]).toEqual([8 << 20, 8 << 20]);
  });

  it("ends every connection when its stream ends", async () => {
    const near = await host.dial(7);
    near.on("error", () => {});
    ends[0].destroy();
    await guest.closed;
    await expect(host.dial(7)).rejects.toThrow();
  });
});

describe("the host's end", () => {
  it("gives up a stream whose host calls and never reads", async () => {
    const [near, far] = duplexPair();
    const flooded = new BridgeGuest(far, () => Promise.reject(new Error("nobody")));
    // More than the limit, and what a stream takes beyond it before anybody reads.
    const calls = MAX_ANSWERS + 4 * MAX_PAYLOAD;
    for (let id = 0; id < calls; id += 1) near.write(encodeFrame(FrameType.OPEN, id, encodeNumber(1)));
    await flooded.closed;
    expect(flooded.isOver).toBe(true);
    near.destroy();
  });

  it("has no more connections under way than channels, however many are given up", async () => {
    const [near, far] = duplexPair();
    let dials = 0;
    const flooded = new BridgeGuest(far, (port) => {
      if (port !== 1) return Promise.reject(new Error("nobody"));
      dials += 1;
      return new Promise<never>(() => {});
    });
    const decoder = new FrameDecoder();
    let refused = (_id: number): void => {};
    near.on("data", (chunk: Buffer) => {
      for (const { type, channel } of decoder.push(chunk)) if (type === FrameType.RESET) refused(channel);
    });
    for (let round = 0; round < 3; round += 1) {
      const flood: Buffer[] = [];
      const last = (round + 1) * 2 * MAX_CHANNELS;
      for (let id = last - MAX_CHANNELS; id < last; id += 1) {
        flood.push(encodeFrame(FrameType.OPEN, id, encodeNumber(1)), encodeFrame(FrameType.RESET, id));
      }
      // The answer to this one says that all before it was taken.
      flood.push(encodeFrame(FrameType.OPEN, last, encodeNumber(2)));
      const { promise, resolve } = Promise.withResolvers<void>();
      refused = (id) => {
        if (id === last) resolve();
      };
      near.write(Buffer.concat(flood));
      await promise;
    }
    near.end();
    await flooded.closed;
    expect(dials).toBe(MAX_CHANNELS);
  });

  it("takes the guest's word in pieces", async () => {
    const [near, far] = duplexPair();
    const opened = BridgeHost.open(near, signal);
    for (const letter of HELLO) far.write(letter);
    (await opened).close();
  });

  it("refuses another word", async () => {
    const [near, far] = duplexPair();
    far.write("NACRE BRIDGE 2\n");
    await expect(BridgeHost.open(near, signal)).rejects.toThrow("expected NACRE BRIDGE 1");
  });

  it("waits for no guest that is gone, and no longer than it is asked to", async () => {
    const [near] = duplexPair();
    const opened = BridgeHost.open(near, signal);
    near.destroy();
    await expect(opened).rejects.toThrow("got the end");
    const [other] = duplexPair();
    await expect(BridgeHost.open(other, AbortSignal.abort(new Error("given up")))).rejects.toThrow("given up");
  });
});

describe("frames", () => {
  it("are the same however the bytes are cut", () => {
    const bytes = Buffer.concat([
      encodeFrame(FrameType.OPEN, 1, encodeNumber(1024)),
      encodeFrame(FrameType.DATA, 1, Buffer.from("data")),
      encodeFrame(FrameType.END, 0xffff_ffff),
    ]);
    const whole = new FrameDecoder().push(bytes);
    const decoder = new FrameDecoder();
    const cut = [...bytes].flatMap((byte) => decoder.push(Buffer.from([byte])));
    expect(cut).toEqual(whole);
    expect(whole.map(({ type, channel, payload }) => [type, channel, payload.toString("latin1")])).toEqual([
      [FrameType.OPEN, 1, "\0\0\x04\0"],
      [FrameType.DATA, 1, "data"],
      [FrameType.END, 0xffff_ffff, ""],
    ]);
  });

  it.each([
    ["a type that is none", Buffer.from([6, 0, 0, 0, 0, 0, 0, 0, 0]), "expected a type of frame, got 6"],
    ["too much", Buffer.from([2, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff]), `expected a frame of at most ${MAX_PAYLOAD}`],
    ["a port that is none", Buffer.from([0, 0, 0, 0, 0, 0, 0, 0, 3]), "expected a frame of 4 bytes, got 3"],
  ])("refuse %s before its payload is there", (_what, bytes, text) => {
    expect(() => new FrameDecoder().push(bytes)).toThrow(text);
  });

  it("bear any bytes: frames or one error of ours (seed 11)", () => {
    const random = generator(11);
    for (let round = 0; round < 3000; round += 1) {
      const decoder = new FrameDecoder();
      const frames: Frame[] = [];
      try {
        for (let i = 0; i < 8; i += 1) {
          const chunk = Buffer.from(
            Array.from({ length: random() % 40 }, () => random() & (random() % 3 === 0 ? 7 : 0)),
          );
          frames.push(...decoder.push(chunk));
        }
      } catch (error) {
        expect(error).toBeInstanceOf(VsockError);
      }
      for (const { payload } of frames) expect(payload.length).toBeLessThanOrEqual(MAX_PAYLOAD);
    }
  });
});

describe("a peer that does not keep to it", () => {
  const framed = (...frames: readonly Buffer[]): Promise<void> => {
    const [near, far] = duplexPair();
    const guest = new BridgeGuest(near, () => new Promise(() => {}));
    far.on("error", () => {}).resume();
    far.write(Buffer.concat(frames));
    return guest.closed;
  };
  const open = encodeFrame(FrameType.OPEN, 1, encodeNumber(7));
  const data = encodeFrame(FrameType.DATA, 1, Buffer.alloc(MAX_PAYLOAD));

  it.each([
    ["sends more than the window", [open, data, data, data]],
    ["gives more credit than was used", [open, encodeFrame(FrameType.CREDIT, 1, encodeNumber(1))]],
    ["opens a channel twice", [open, open]],
    ["goes on after its end", [open, encodeFrame(FrameType.END, 1), data]],
    ["sends no frames", [Buffer.from("GET / HTTP/1.1\r\n")]],
  ])("%s is cut off", async (_what, frames) => {
    await framed(...frames);
  });
});

/** Numbers of 31 bits that look random, the same for a seed. */
function generator(seed: number): () => number {
  let state = seed;
  return () => (state = (state * 1_103_515_245 + 12_345) & 0x7fff_ffff) >> 8;
}
