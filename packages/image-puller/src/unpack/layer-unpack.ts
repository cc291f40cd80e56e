import type { FileCalls } from "@nacre/kata-sys-util";
import { type Compression, DigestVerifier } from "oci-client";
import { PullError } from "../error.ts";
import { TarParser } from "../tar/parser.ts";
import { createDecompressor, type Decompressor } from "./decompress.ts";
import { Unpacker } from "./unpacker.ts";

/** What is to be unpacked where. */
export interface LayerPlan {
  /** An empty directory of its own, which nobody else looks into before the result is known. */
  readonly directory: string;
  readonly compression: Compression;
  /** Digest of the blob as it comes. */
  readonly digest: string;
  /** Digest of the archive inside. */
  readonly diffId: string;
}

export interface UnpackedLayer {
  /** Bytes of the archive. */
  readonly size: number;
  readonly entries: number;
  /** The layer hides all that lies below it. */
  readonly opaqueRoot: boolean;
}

/** Real layers compress to between a half and a twentieth; a gzip bomb reaches 1032. */
export const MAX_RATIO = 200;
/** Small layers of zeros compress even better and do no harm. */
const RATIO_FLOOR: number = 64 * 1024 * 1024;
/** More than any disk or memory that a guest has for images. */
const MAX_ARCHIVE: number = 256 * 1024 ** 3;

/**
 * Unpacks one layer: blob bytes in, files out, both digests held against what the image says.
 *
 * The blob is read and hashed to its end even when the archive ends before, because the digest covers all of it. Until
 * `finish` has resolved, what lies in the directory is nobody's.
 */
export class LayerUnpack {
  readonly #blob: DigestVerifier;
  readonly #archive: DigestVerifier;
  readonly #unpacker: Unpacker;
  readonly #parser: TarParser;
  readonly #input: Decompressor;
  #received = 0;
  #size = 0;

  constructor(sys: FileCalls, plan: LayerPlan) {
    this.#blob = new DigestVerifier(plan.digest);
    this.#archive = new DigestVerifier(plan.diffId);
    this.#unpacker = new Unpacker(sys, plan.directory);
    this.#parser = new TarParser(this.#unpacker);
    this.#input = createDecompressor(plan.compression, (chunk) => this.#unpack(chunk));
  }

  /** Resolves when `chunk` is used up; calls must follow each other. @rejects PullError */
  async feed(chunk: Buffer): Promise<void> {
    this.#received += chunk.length;
    this.#blob.update(chunk);
    await this.#input.write(chunk);
  }

  /** @rejects PullError `digest` when either digest is not the expected one. */
  async finish(): Promise<UnpackedLayer> {
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
    this.#unpacker.finish();
    return { size: this.#size, entries: this.#unpacker.entries, opaqueRoot: this.#unpacker.opaqueRoot };
  }

  /** Gives everything back; after this the directory can be removed. */
  close(): void {
    this.#input.destroy();
    this.#unpacker.close();
  }

  #unpack(chunk: Buffer): void {
    this.#size += chunk.length;
    if (this.#size > MAX_ARCHIVE) throw new PullError("limit", `layer larger than ${MAX_ARCHIVE} bytes unpacked`);
    if (this.#size > RATIO_FLOOR && this.#size > this.#received * MAX_RATIO) {
      throw new PullError("limit", `layer grows to more than ${MAX_RATIO} times its size`);
    }
    this.#archive.update(chunk);
    this.#parser.push(chunk);
  }
}
