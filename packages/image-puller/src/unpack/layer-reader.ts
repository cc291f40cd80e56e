import { type Compression, DigestVerifier } from "oci-client";
import { PullError } from "../error.ts";
import { type TarHandler, TarParser } from "../tar/parser.ts";
import { createDecompressor, type Decompressor } from "./decompress.ts";

/** How a layer's blob is read, and what it must be. */
export interface LayerBlob {
  readonly compression: Compression;
  /** Digest of the blob as it comes. */
  readonly digest: string;
  /** Digest of the archive inside. */
  readonly diffId: string;
}

/** Real layers compress to between a half and a twentieth; a gzip bomb reaches 1032. */
export const MAX_RATIO = 200;
/** Small layers of zeros compress even better and do no harm. */
const RATIO_FLOOR: number = 64 * 1024 * 1024;
/** More than any disk or memory that a guest has for images. */
const MAX_ARCHIVE: number = 256 * 1024 ** 3;

/**
 * Reads one layer: blob bytes in, members of its archive out, both digests held against what the image says.
 *
 * The blob is read and hashed to its end even when the archive ends before, because the digest covers all of it. Until
 * `finish` has resolved, nobody knows whether the members are the image's.
 */
export class LayerReader {
  readonly #blob: DigestVerifier;
  readonly #archive: DigestVerifier;
  readonly #parser: TarParser;
  readonly #input: Decompressor;
  #received = 0;
  #size = 0;

  constructor({ compression, digest, diffId }: LayerBlob, handler: TarHandler) {
    this.#blob = new DigestVerifier(digest);
    this.#archive = new DigestVerifier(diffId);
    this.#parser = new TarParser(handler);
    this.#input = createDecompressor(compression, (chunk) => this.#parse(chunk));
  }

  /** Bytes of the archive so far. */
  get size(): number {
    return this.#size;
  }

  /** Resolves when `chunk` is used up; calls must follow each other. @rejects PullError */
  async feed(chunk: Buffer): Promise<void> {
    this.#received += chunk.length;
    this.#blob.update(chunk);
    await this.#input.write(chunk);
  }

  /** @rejects PullError `digest` when either digest is not the expected one. */
  async finish(): Promise<void> {
    // A wrong blob is reported as such, not as the archive error that it usually also is.
    const blob = this.#blob.end();
    if (!blob.matches) throw new PullError("digest", `layer: expected digest ${blob.expected}, got ${blob.got}`);
    await this.#input.end();
    this.#parser.finish();
    const archive = this.#archive.end();
    if (!archive.matches) {
      throw new PullError(
        "digest",
        `layer: unequal uncompressed digest: expected ${archive.expected}, got ${archive.got}`,
      );
    }
  }

  /** Gives everything back. */
  close(): void {
    this.#input.destroy();
  }

  #parse(chunk: Buffer): void {
    this.#size += chunk.length;
    if (this.#size > MAX_ARCHIVE) throw new PullError("limit", `layer larger than ${MAX_ARCHIVE} bytes unpacked`);
    if (this.#size > RATIO_FLOOR && this.#size > this.#received * MAX_RATIO) {
      throw new PullError("limit", `layer grows to more than ${MAX_RATIO} times its size`);
    }
    this.#archive.update(chunk);
    this.#parser.push(chunk);
  }
}
