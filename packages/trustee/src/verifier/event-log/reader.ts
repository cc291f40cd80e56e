import { TrusteeError } from "../../error.ts";

/** Reads little-endian fields; every length is checked against what is there before anything is taken. */
export class LittleEndianReader {
  readonly #bytes: Buffer;
  readonly #what: string;
  #at = 0;

  constructor(bytes: Buffer, what: string) {
    this.#bytes = bytes;
    this.#what = what;
  }

  get left(): number {
    return this.#bytes.length - this.#at;
  }

  u8(): number {
    return this.take(1).readUInt8();
  }

  u16(): number {
    return this.take(2).readUInt16LE();
  }

  u32(): number {
    return this.take(4).readUInt32LE();
  }

  /** A length of 64 bits, which must be one that can be. */
  length64(): number {
    const value = this.take(8).readBigUInt64LE();
    if (value > BigInt(this.#bytes.length)) throw this.#bad(`at most ${this.#bytes.length}, got ${value}`);
    return Number(value);
  }

  take(length: number): Buffer {
    if (length > this.left) throw this.#bad(`${length} more bytes, got ${this.left}`);
    this.#at += length;
    return this.#bytes.subarray(this.#at - length, this.#at);
  }

  /** What comes next, as far as it is there, without taking it. */
  peek(length: number): Buffer {
    return this.#bytes.subarray(this.#at, this.#at + length);
  }

  rest(): Buffer {
    return this.take(this.left);
  }

  end(): void {
    if (this.left !== 0) throw this.#bad(`no bytes behind it, got ${this.left}`);
  }

  #bad(expected: string): TrusteeError {
    return new TrusteeError("evidence", `${this.#what}: expected ${expected}`);
  }
}
