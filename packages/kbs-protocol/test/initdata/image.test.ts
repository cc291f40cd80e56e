import { gzipSync } from "node:zlib";

import { describe, expect, it } from "vitest";

import {
  decodeInitdataAnnotation,
  encodeInitdataAnnotation,
  KbsProtocolError,
  MAX_COMPRESSED,
  MAX_DOCUMENT,
  parseImageHeader,
  readInitdataImage,
  writeInitdataImage,
} from "../../src/index.ts";
import { generator } from "../random.ts";

const TEXT = Buffer.from('version = "0.1.0"\nalgorithm = "sha256"\n[data]\n');

function image(compressed: Uint8Array, length: bigint | number = compressed.length): Buffer {
  const header = Buffer.alloc(16);
  header.write("initdata");
  header.writeBigUInt64LE(BigInt(length), 8);
  return Buffer.concat([header, compressed]);
}

describe("the block device's image", () => {
  it("has a magic, a length, gzip, and whole sectors", async () => {
    const written = await writeInitdataImage(TEXT);
    expect(written.length % 512).toBe(0);
    expect(written.toString("latin1", 0, 8)).toBe("initdata");
    const length = parseImageHeader(written.subarray(0, 16)) ?? 0;
    expect(written.subarray(16, 18)).toEqual(Buffer.from([0x1f, 0x8b]));
    expect(written.subarray(16 + length).every((byte) => byte === 0)).toBe(true);
    expect(await readInitdataImage(written)).toEqual(TEXT);
    expect(await writeInitdataImage(TEXT)).toEqual(written);
  });

  it("is something else with another magic or without a whole header", () => {
    expect(parseImageHeader(Buffer.from("initdatA\0\0\0\0\0\0\0\0"))).toBeUndefined();
    expect(parseImageHeader(Buffer.from("initdata"))).toBeUndefined();
  });

  it.each([
    ["no magic", Buffer.alloc(512), "image", "initdata: expected an image with the magic"],
    ["a length beyond the end", image(gzipSync(TEXT), 4096), "image", "initdata: expected 4096 compressed bytes, got"],
    [
      "a length above the bound",
      image(gzipSync(TEXT), MAX_COMPRESSED + 1),
      "too-long",
      `at most ${MAX_COMPRESSED} comp`,
    ],
    ["a length of all bits", image(gzipSync(TEXT), 0xffff_ffff_ffff_ffffn), "too-long", "got 18446744073709551615"],
    ["no gzip", image(TEXT), "gzip", "initdata: expected gzip"],
    ["nothing compressed", image(Buffer.alloc(0)), "gzip", "initdata: expected gzip"],
    ["gzip that is cut", image(gzipSync(TEXT).subarray(0, -9)), "gzip", "initdata: expected gzip"],
    ["a wrong checksum", image(flipped(gzipSync(TEXT), -8)), "gzip", "initdata: expected gzip"],
    [
      "zeros behind the gzip stream",
      image(Buffer.concat([gzipSync(TEXT), Buffer.alloc(4)])),
      "gzip",
      "initdata: expected nothing behind the compressed document",
    ],
    ["bytes behind the gzip stream", image(Buffer.concat([gzipSync(TEXT), TEXT])), "gzip", "initdata: expected gzip"],
    [
      "a document above the bound",
      image(gzipSync(Buffer.alloc(MAX_DOCUMENT + 1))),
      "too-long",
      `at most ${MAX_DOCUMENT}`,
    ],
  ])("is refused with %s", async (_, bytes, code, message) => {
    await expect(readInitdataImage(bytes)).rejects.toThrow(
      expect.objectContaining({ code, message: expect.stringContaining(message) as unknown }),
    );
  });

  it("takes a document of just the bound, also one that does not compress", async () => {
    const next = generator(9);
    const noise = Buffer.alloc(MAX_DOCUMENT);
    for (let at = 0; at < noise.length; at += 4) noise.writeUInt32LE(next(0x1_0000_0000), at);
    expect((await readInitdataImage(await writeInitdataImage(noise))).equals(noise)).toBe(true);
  });

  it("does not grow from a small bomb", async () => {
    const bomb = image(gzipSync(Buffer.alloc(64 * 1024 * 1024)));
    expect(bomb.length).toBeLessThan(100_000);
    const before = process.memoryUsage().arrayBuffers;
    await expect(readInitdataImage(bomb)).rejects.toMatchObject({ code: "too-long" });
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(16 * 1024 * 1024);
  });

  it("is read or refused whatever it holds: seeded fuzz", async () => {
    const next = generator(3);
    const whole = await writeInitdataImage(TEXT);
    let refused = 0;
    for (let round = 0; round < 3000; round += 1) {
      const bytes = Buffer.from(whole);
      for (let change = 0; change <= next(3); change += 1) bytes[next(100)] = next(256);
      await readInitdataImage(bytes.subarray(0, next(10) === 0 ? next(bytes.length) : bytes.length)).catch(
        (error: unknown) => {
          expect(error).toBeInstanceOf(KbsProtocolError);
          refused += 1;
        },
      );
    }
    expect(refused).toBeGreaterThan(1000);
  });
});

describe("the annotation", () => {
  it("is base64 of gzip", async () => {
    const text = await encodeInitdataAnnotation(TEXT);
    expect(gzipSync(TEXT, { level: 9 }).toString("base64")).toBe(text);
    expect(await decodeInitdataAnnotation(text)).toEqual(TEXT);
  });

  it.each([
    ["nothing", "", "annotation"],
    ["no base64", "%%%%", "annotation"],
    ["base64url", "-_-_", "annotation"],
    ["a line break", `${gzipSync(TEXT).toString("base64")}\n`, "annotation"],
    ["no gzip", TEXT.toString("base64"), "gzip"],
    ["too much", "A".repeat(6_000_000), "too-long"],
  ])("is refused with %s", async (_, text, code) => {
    await expect(decodeInitdataAnnotation(text)).rejects.toMatchObject({ code });
  });
});

function flipped(bytes: Buffer, at: number): Buffer {
  const copy = Buffer.from(bytes);
  const index = at < 0 ? copy.length + at : at;
  copy[index] = (copy[index] ?? 0) ^ 1;
  return copy;
}
