import { createGunzip, createZstdDecompress, type Gunzip, type ZstdDecompress } from "node:zlib";
import type { Compression } from "oci-client";
import { PullError } from "../error.ts";
import { releaseMemory } from "../release-memory.ts";
import { ZstdFrames } from "./zstd-frames.ts";

/** Large enough that handing work to zlib's thread costs little beside the work. */
const OUTPUT_CHUNK: number = 128 * 1024;

/** Turns the bytes of a layer blob into the bytes of its archive. */
export interface Decompressor {
  /** Resolves when the input is used up and all output for it has been delivered; then `chunk` may be reused. */
  write(chunk: Buffer): Promise<void>;
  /** @rejects PullError `tar` when the input is not complete. */
  end(): Promise<void>;
  destroy(): void;
}

/** `output` is called synchronously with each part; what it throws ends the decompressor with that error. */
export function createDecompressor(compression: Compression, output: (chunk: Buffer) => void): Decompressor {
  switch (compression) {
    case "none":
      return new PlainInput(output);
    case "gzip":
      return new ZlibInput(createGunzip({ chunkSize: OUTPUT_CHUNK }), output);
    case "zstd":
      return new ZstdInput(new ZlibInput(createZstdDecompress({ chunkSize: OUTPUT_CHUNK }), output));
  }
}

class PlainInput implements Decompressor {
  readonly #output: (chunk: Buffer) => void;

  constructor(output: (chunk: Buffer) => void) {
    this.#output = output;
  }

  async write(chunk: Buffer): Promise<void> {
    this.#output(chunk);
  }

  async end(): Promise<void> {}

  destroy(): void {}
}

/** Node's streaming decoders; the work itself is done on libuv's threads. */
class ZlibInput implements Decompressor {
  readonly #stream: Gunzip | ZstdDecompress;
  /** Node does not call a write back when the data turns out to be bad. */
  readonly #failed: Promise<never>;
  /** Bytes given to the decoder. */
  #given = 0;

  constructor(stream: Gunzip | ZstdDecompress, output: (chunk: Buffer) => void) {
    this.#stream = stream;
    this.#failed = new Promise((_, reject) => {
      stream.on("error", (error) => reject(decompressionError(error)));
      // Node takes zeros behind the last gzip member for the end, leaves the rest alone and says nothing. Go refuses them.
      stream.on("end", () => {
        if (stream.bytesWritten !== this.#given) {
          reject(new PullError("tar", "data behind the end of the compressed layer"));
        }
      });
    });
    this.#failed.catch(() => undefined);
    stream.on("data", (chunk: Buffer) => {
      try {
        output(chunk);
        releaseMemory(chunk);
      } catch (error) {
        stream.destroy(error as Error);
      }
    });
  }

  async write(chunk: Buffer): Promise<void> {
    this.#given += chunk.length;
    await this.#orFailed((done) => this.#stream.write(chunk, (error) => error ?? done()));
  }

  async end(): Promise<void> {
    await this.#orFailed((done) => {
      this.#stream.once("end", done);
      this.#stream.end();
    });
  }

  destroy(): void {
    this.#stream.destroy();
  }

  async #orFailed(start: (done: () => void) => void): Promise<void> {
    await Promise.race([new Promise<void>((resolve) => start(resolve)), this.#failed]);
  }
}

/** Gives the decoder one frame at a time, each in writes of its own. */
class ZstdInput implements Decompressor {
  readonly #decoder: ZlibInput;
  readonly #frames = new ZstdFrames();

  constructor(decoder: ZlibInput) {
    this.#decoder = decoder;
  }

  async write(chunk: Buffer): Promise<void> {
    for (const piece of this.#frames.push(chunk)) await this.#decoder.write(piece);
  }

  async end(): Promise<void> {
    if (!this.#frames.complete) throw new PullError("tar", "the compressed data ends early");
    await this.#decoder.end();
  }

  destroy(): void {
    this.#decoder.destroy();
  }
}

function decompressionError(error: Error): PullError {
  if (error instanceof PullError) return error;
  return new PullError("tar", `failed to decompress the layer`, { cause: error });
}
