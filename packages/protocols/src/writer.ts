const INITIAL = 8192;
/** Above this a result that outgrew the writer takes its memory along, so that large data is copied once. */
const MAX_COPY = 4096;
/** Strings up to this length are written character by character, as most are ASCII. */
const SHORT = 96;

const scratch: DataView = new DataView(new ArrayBuffer(8));

/** Memory that fills from its end towards its beginning. */
export class Writer {
  /** Kept for good; a larger message moves to memory of its own. */
  readonly #home: Buffer = Buffer.allocUnsafeSlow(INITIAL);
  #b: Buffer = this.#home;
  #pos: number = INITIAL;

  /** Where the next value will end. Differences of marks are lengths, and survive growing. */
  mark(): number {
    return this.#pos - this.#b.length;
  }

  /** What was written. */
  finish(): Uint8Array {
    const written = this.#b.subarray(this.#pos);
    if (written.length > MAX_COPY && this.#b !== this.#home) {
      this.#b = this.#home;
      this.#pos = INITIAL;
      return written;
    }
    const copy = Buffer.allocUnsafe(written.length);
    copy.set(written);
    return copy;
  }

  /** Ready for the next message. What was written is wiped, because messages carry secrets. */
  reset(): void {
    this.#b.fill(0, this.#pos);
    this.#b = this.#home;
    this.#pos = INITIAL;
  }

  varint32(value: number): void {
    if (value < 0x80) {
      this.#room(1);
      this.#b[--this.#pos] = value;
      return;
    }
    this.#room(5);
    const length = value < 0x4000 ? 2 : value < 0x20_0000 ? 3 : value < 0x1000_0000 ? 4 : 5;
    this.#pos -= length;
    let at = this.#pos;
    let rest = value;
    while (rest >= 0x80) {
      this.#b[at++] = (rest & 0x7f) | 0x80;
      rest >>>= 7;
    }
    this.#b[at] = rest;
  }

  /** A 64-bit integer in two's complement. */
  varint64(value: bigint): void {
    scratch.setBigInt64(0, value, true);
    let low = scratch.getUint32(0, true);
    let high = scratch.getUint32(4, true);
    if (high === 0) {
      this.varint32(low);
      return;
    }
    let length = 5;
    for (let rest = high >>> 3; rest !== 0; rest >>>= 7) length++;
    this.#room(length);
    this.#pos -= length;
    for (let at = this.#pos; at < this.#pos + length - 1; at++) {
      this.#b[at] = (low & 0x7f) | 0x80;
      low = ((low >>> 7) | (high << 25)) >>> 0;
      high >>>= 7;
    }
    this.#b[this.#pos + length - 1] = low;
  }

  /** Bytes and their length. */
  bytes(value: Uint8Array): void {
    this.#room(value.length);
    this.#pos -= value.length;
    this.#b.set(value, this.#pos);
    this.varint32(value.length);
  }

  /** Text and its length. A lone surrogate becomes U+FFFD, as everywhere in Node. */
  string(value: string): void {
    const { length } = value;
    if (length <= SHORT) {
      this.#room(length);
      const b = this.#b;
      let at = this.#pos;
      let i = length - 1;
      for (; i >= 0; i--) {
        const code = value.charCodeAt(i);
        if (code >= 0x80) break;
        b[--at] = code;
      }
      if (i < 0) {
        this.#pos = at;
        this.varint32(length);
        return;
      }
    }
    const size = Buffer.byteLength(value);
    this.#room(size);
    this.#pos -= size;
    this.#b.write(value, this.#pos, size, "utf8");
    this.varint32(size);
  }

  #room(n: number): void {
    if (n <= this.#pos) return;
    const used = this.#b.length - this.#pos;
    // A large value is usually the last thing to be written, so there is little to spare beyond it.
    const size = Math.max(this.#b.length * 2, used + n + INITIAL);
    const grown = Buffer.allocUnsafeSlow(size);
    this.#b.copy(grown, size - used, this.#pos);
    this.#b.fill(0, this.#pos);
    this.#b = grown;
    this.#pos = size - used;
  }
}
