import { PullError } from "../error.ts";

const MAGIC = 0xfd2fb528;
const SKIPPABLE = 0x184d2a50;
/** Bytes of the frame header's optional fields by the two-bit codes of its descriptor (RFC 8878 section 3.1.1.1). */
const CONTENT_SIZE = [0, 2, 4, 8] as const;
const FIELD = { magic: 4, "skip-size": 4, descriptor: 1, block: 3 } as const;
const DICTIONARY_ID = [0, 1, 2, 4] as const;

type Step = "magic" | "skip-size" | "skip" | "descriptor" | "block" | "pass";

/**
 * Cuts a zstd stream (RFC 8878) into its frames by their headers, without decompressing.
 *
 * Node's decoder stops at the end of the first frame and drops the rest of the chunk it was in; layers from pzstd or in
 * the zstd:chunked form have many frames and skippable ones, which are left out here.
 */
export class ZstdFrames {
  #step: Step = "magic";
  /** The header field being read; it may come in pieces. */
  readonly #field: Buffer = Buffer.alloc(4);
  #filled = 0;
  /** Bytes of `pass` or `skip` still to come. */
  #left = 0;
  #checksum = false;
  #lastBlock = false;

  /** Whether the input so far ends with a frame. */
  get complete(): boolean {
    return this.#step === "magic" && this.#filled === 0;
  }

  /**
   * The parts of `chunk` that belong to frames, cut where a frame ends.
   *
   * @throws PullError `tar` when what should be a frame is none.
   */
  push(chunk: Buffer): readonly Buffer[] {
    const pieces: Buffer[] = [];
    let from = 0;
    for (let at = 0; at < chunk.length || (this.#left === 0 && this.#moving());) {
      if (this.#moving()) {
        const take = Math.min(this.#left, chunk.length - at);
        at += take;
        this.#left -= take;
        if (this.#left > 0) break;
        if (this.#step === "pass" && this.#lastBlock) pieces.push(chunk.subarray(from, at));
        this.#step = this.#step === "skip" || this.#lastBlock ? "magic" : "block";
        continue;
      }
      const need = FIELD[this.#step as keyof typeof FIELD];
      const copied = chunk.copy(this.#field, this.#filled, at, at + need - this.#filled);
      at += copied;
      this.#filled += copied;
      if (this.#filled < need) break;
      this.#filled = 0;
      const step = this.#step;
      if (step === "skip-size") this.#skip();
      else if (step === "descriptor") this.#descriptor();
      else if (step === "block") this.#block();
      else if (this.#magic()) {
        pieces.push(Buffer.from(this.#field));
        from = at;
      }
    }
    const inside = this.#step === "descriptor" || this.#step === "block" || this.#step === "pass";
    if (inside && from < chunk.length) pieces.push(chunk.subarray(from));
    return pieces;
  }

  #moving(): boolean {
    return this.#step === "pass" || this.#step === "skip";
  }

  /** True when a frame begins. */
  #magic(): boolean {
    const magic = this.#field.readUInt32LE();
    const skippable = (magic & 0xfffffff0) >>> 0 === SKIPPABLE;
    if (!skippable && magic !== MAGIC) throw new PullError("tar", "the compressed data is not a zstd frame");
    this.#step = skippable ? "skip-size" : "descriptor";
    return !skippable;
  }

  #skip(): void {
    this.#left = this.#field.readUInt32LE();
    this.#step = "skip";
  }

  #descriptor(): void {
    const descriptor = this.#field[0] ?? 0;
    const single = (descriptor & 0x20) !== 0;
    const code = descriptor >> 6;
    const contentSize = code === 0 && single ? 1 : (CONTENT_SIZE[code] ?? 0);
    this.#checksum = (descriptor & 0x04) !== 0;
    this.#lastBlock = false;
    this.#left = (single ? 0 : 1) + (DICTIONARY_ID[descriptor & 3] ?? 0) + contentSize;
    this.#step = "pass";
  }

  #block(): void {
    const header = this.#field.readUIntLE(0, 3);
    const kind = (header >> 1) & 3;
    if (kind === 3) throw new PullError("tar", "a zstd block of a reserved kind");
    this.#lastBlock = (header & 1) === 1;
    // A run-length block holds one byte, whatever length it stands for.
    this.#left = (kind === 1 ? 1 : header >> 3) + (this.#lastBlock && this.#checksum ? 4 : 0);
    this.#step = "pass";
  }
}
