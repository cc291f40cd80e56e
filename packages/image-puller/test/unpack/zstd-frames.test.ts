import { zstdCompressSync, zstdDecompressSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { PullError } from "../../src/index.ts";
import { ZstdFrames } from "../../src/unpack/zstd-frames.ts";
import { seeded } from "../../../../test/fixtures/seeded.ts";

function frames(input: Buffer, piece: number): { bytes: Buffer; complete: boolean } {
  const walker = new ZstdFrames();
  const pieces: Buffer[] = [];
  for (let at = 0; at < input.length; at += piece) {
    pieces.push(...walker.push(input.subarray(at, at + piece)).map((part) => Buffer.from(part)));
  }
  return { bytes: Buffer.concat(pieces), complete: walker.complete };
}

const one = zstdCompressSync(Buffer.from("hello"));
const two = zstdCompressSync(Buffer.alloc(400_000, "text and more text "));
const skippable = Buffer.from("5f2a4d1803000000aabbcc", "hex");
const emptySkippable = Buffer.from("502a4d1800000000", "hex");

describe("ZstdFrames", () => {
  it("gives exactly the frames, however the input is cut", () => {
    const input = Buffer.concat([skippable, one, emptySkippable, two, skippable]);
    for (const piece of [1, 2, 3, 5, 64, 1000, input.length]) {
      expect(frames(input, piece)).toEqual({ bytes: Buffer.concat([one, two]), complete: true });
    }
  });

  it("ends a piece where a frame ends", () => {
    const walker = new ZstdFrames();
    const pieces = walker.push(Buffer.concat([one, two])).map((part) => Buffer.from(part));
    const cut = pieces.findIndex((_, index) => Buffer.concat(pieces.slice(0, index + 1)).equals(one));
    expect(cut).toBeGreaterThanOrEqual(0);
    expect(zstdDecompressSync(Buffer.concat(pieces.slice(cut + 1))).length).toBe(400_000);
  });

  it("knows when the input ends early", () => {
    for (const input of [
      one.subarray(0, 3),
      one.subarray(0, -1),
      skippable.subarray(0, 6),
      skippable.subarray(0, 10),
    ]) {
      expect(frames(input, 1).complete).toBe(false);
    }
  });

  it("refuses what is no frame, and a block of the reserved kind", () => {
    expect(() => frames(Buffer.from("1f8b0800", "hex"), 4)).toThrow("not a zstd frame");
    expect(() => frames(Buffer.concat([one, Buffer.from("more")]), 100)).toThrow("not a zstd frame");
    // Magic, descriptor of a single segment with one byte of size, size, block header of kind 3.
    expect(() => frames(Buffer.from("28b52ffd2005070000", "hex"), 100)).toThrow("reserved kind");
  });

  it("ends or refuses for any change of a good stream", () => {
    const random = seeded(5);
    const good = Buffer.concat([skippable, one, two]);
    for (let round = 0; round < 2000; round += 1) {
      const changed = Buffer.from(good);
      for (let flips = random(3) + 1; flips > 0; flips -= 1) changed[random(changed.length)] = random(256);
      try {
        expect(frames(changed, random(200) + 1).bytes.length).toBeLessThanOrEqual(changed.length);
      } catch (error) {
        expect(error).toBeInstanceOf(PullError);
      }
    }
  });
});
