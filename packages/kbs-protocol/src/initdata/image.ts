import { KbsProtocolError } from "../error.ts";
import { MAX_DOCUMENT } from "./document.ts";
import { gunzip, gzip } from "./gzip.ts";

/** The block device's first bytes: the magic, then the length of the gzip stream that follows, little-endian. */
const MAGIC = Buffer.from("initdata");
export const IMAGE_HEADER = 16;
/** Block devices have whole sectors. */
const SECTOR = 512;

/** Bytes of the gzip stream: that of a document which does not compress is a little longer than the document. */
export const MAX_COMPRESSED: number = MAX_DOCUMENT + 64 * 1024;

/**
 * The length of the gzip stream behind a header, or undefined where the magic is another: such a device is something
 * else. Throws {@link KbsProtocolError} `too-long`.
 */
export function parseImageHeader(header: Uint8Array): number | undefined {
  const bytes = Buffer.from(header.buffer, header.byteOffset, header.byteLength);
  if (bytes.length < IMAGE_HEADER || !bytes.subarray(0, MAGIC.length).equals(MAGIC)) return undefined;
  const length = bytes.readBigUInt64LE(MAGIC.length);
  if (length > BigInt(MAX_COMPRESSED)) {
    const text = `initdata: expected at most ${MAX_COMPRESSED} compressed bytes, got ${length}`;
    throw new KbsProtocolError("too-long", text);
  }
  return Number(length);
}

/** The document in a whole image. Rejects with {@link KbsProtocolError} `image`, `gzip` or `too-long`. */
export async function readInitdataImage(image: Uint8Array): Promise<Buffer> {
  const length = parseImageHeader(image);
  if (length === undefined) throw new KbsProtocolError("image", "initdata: expected an image with the magic");
  const rest = image.length - IMAGE_HEADER;
  if (rest < length) {
    throw new KbsProtocolError("image", `initdata: expected ${length} compressed bytes, got ${rest}`);
  }
  return gunzip(image.subarray(IMAGE_HEADER, IMAGE_HEADER + length), MAX_DOCUMENT);
}

/** The image of a document; the same document gives the same bytes. */
export async function writeInitdataImage(toml: Uint8Array): Promise<Buffer> {
  const compressed = await gzip(toml);
  const used = IMAGE_HEADER + compressed.length;
  const image = Buffer.alloc(Math.ceil(used / SECTOR) * SECTOR);
  MAGIC.copy(image);
  image.writeBigUInt64LE(BigInt(compressed.length), MAGIC.length);
  compressed.copy(image, IMAGE_HEADER);
  return image;
}
