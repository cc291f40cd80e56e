import { describe, expect, it } from "vitest";
import { FrameDecoder, MAX_MESSAGE_LENGTH } from "../src/frame.ts";
import { frameBytes } from "./peer.ts";
import { Random } from "./random.ts";

type Seen = [id: number, type: number, flags: number, payload: string] | ["oversize", id: number, length: number];

function decoder(): { decoder: FrameDecoder; seen: Seen[] } {
  const seen: Seen[] = [];
  return {
    seen,
    decoder: new FrameDecoder({
      frame: (id, type, flags, b, start, end) =>
        seen.push([id, type, flags, Buffer.from(b.subarray(start, end)).toString("latin1")]),
      oversize: (id, _type, length) => seen.push(["oversize", id, length]),
    }),
  };
}

const text = (s: string): Uint8Array => Buffer.from(s, "latin1");

function header(length: number, id = 7): Uint8Array {
  const b = Buffer.alloc(10);
  b.writeUInt32BE(length, 0);
  b.writeUInt32BE(id, 4);
  b[8] = 1;
  return b;
}

describe("frames", () => {
  it("has the layout of the specification", () => {
    expect(Buffer.from(frameBytes(0x01020304, 2, text("hi"), 4)).toString("hex")).toBe("000000020102030402046869");
  });

  it("decodes several in one chunk, also with no payload and the highest stream id", () => {
    const { decoder: d, seen } = decoder();
    d.push(
      Buffer.concat([
        frameBytes(1, 1, text("abc")),
        frameBytes(0xffffffff, 3, text(""), 5),
        frameBytes(3, 2, text("z")),
      ]),
    );
    expect(seen).toEqual([
      [1, 1, 0, "abc"],
      [0xffffffff, 3, 5, ""],
      [3, 2, 0, "z"],
    ]);
    expect(d.midFrame).toBe(false);
  });

  it("decodes one byte at a time", () => {
    const { decoder: d, seen } = decoder();
    const bytes = Buffer.concat([
      frameBytes(1, 1, text("abc")),
      frameBytes(3, 1, text("")),
      frameBytes(5, 1, text("d")),
    ]);
    for (const byte of bytes) d.push(Uint8Array.of(byte));
    expect(seen).toEqual([
      [1, 1, 0, "abc"],
      [3, 1, 0, ""],
      [5, 1, 0, "d"],
    ]);
  });

  it("does not keep the chunk: a payload in pieces survives its chunks", () => {
    const { decoder: d, seen } = decoder();
    const bytes = Buffer.from(frameBytes(1, 1, text("abcdef")));
    const chunk = Buffer.alloc(8);
    for (const at of [0, 8]) {
      bytes.copy(chunk, 0, at, at + 8);
      d.push(chunk.subarray(0, Math.min(8, bytes.length - at)));
      chunk.fill(0);
    }
    expect(seen).toEqual([[1, 1, 0, "abcdef"]]);
  });

  it("takes a payload of the largest size", () => {
    const { decoder: d, seen } = decoder();
    d.push(header(MAX_MESSAGE_LENGTH));
    d.push(new Uint8Array(MAX_MESSAGE_LENGTH - 1));
    expect(seen).toEqual([]);
    d.push(new Uint8Array(1));
    expect(seen.length).toBe(1);
  });

  it("refuses one byte more as soon as the header is there, skips it and goes on", () => {
    const { decoder: d, seen } = decoder();
    d.push(header(MAX_MESSAGE_LENGTH + 1));
    expect(seen).toEqual([["oversize", 7, MAX_MESSAGE_LENGTH + 1]]);
    expect(d.midFrame).toBe(true);
    d.push(new Uint8Array(MAX_MESSAGE_LENGTH));
    d.push(Buffer.concat([new Uint8Array(1), frameBytes(9, 1, text("ok"))]));
    expect(seen.slice(1)).toEqual([[9, 1, 0, "ok"]]);
  });

  it("refuses it as well when the whole of it lies in one chunk", () => {
    const { decoder: d, seen } = decoder();
    d.push(
      Buffer.concat([
        header(MAX_MESSAGE_LENGTH + 5),
        new Uint8Array(MAX_MESSAGE_LENGTH + 5),
        frameBytes(9, 1, text("ok")),
      ]),
    );
    expect(seen).toEqual([
      ["oversize", 7, MAX_MESSAGE_LENGTH + 5],
      [9, 1, 0, "ok"],
    ]);
  });

  it("gives the same frames for every way to cut the bytes (seeded)", () => {
    for (let seed = 1; seed <= 200; seed++) {
      const random = new Random(seed);
      const frames = Array.from({ length: random.int(8) + 1 }, () =>
        frameBytes(random.int(0x7fffffff), random.int(5), random.bytes(random.int(40)), random.int(8)),
      );
      const bytes = Buffer.concat(frames);
      const whole = decoder();
      whole.decoder.push(bytes);
      const cut = decoder();
      for (let at = 0; at < bytes.length;) {
        const n = 1 + random.int(12);
        cut.decoder.push(bytes.subarray(at, at + n));
        at += n;
      }
      expect(cut.seen, `seed ${seed}`).toEqual(whole.seen);
      expect(whole.seen.length, `seed ${seed}`).toBe(frames.length);
    }
  });

  it("survives garbage (seeded) and never holds more than one payload", () => {
    for (let seed = 1; seed <= 300; seed++) {
      const random = new Random(seed);
      let largest = 0;
      const d = new FrameDecoder({
        frame: (_id, _type, _flags, _b, start, end) => {
          largest = Math.max(largest, end - start);
        },
        oversize: (_id, _type, length) => expect(length).toBeGreaterThan(MAX_MESSAGE_LENGTH),
      });
      for (let i = 0; i < 20; i++) d.push(random.bytes(random.int(100)));
      expect(largest, `seed ${seed}`).toBeLessThanOrEqual(MAX_MESSAGE_LENGTH);
    }
  });
});
