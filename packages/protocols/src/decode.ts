import { isUtf8 } from "node:buffer";
import { DecodeError } from "./error.ts";
import { defaultOf, emptyMessage, Op, type Plan, planOf, Shape, type Slot, type Tree } from "./plan.ts";

/** Nesting of unknown groups; the usual recursion limit of protobuf. No message here nests deeper than its types do. */
const MAX_DEPTH = 100;

/**
 * Messages, list elements and map entries in one message. An empty element takes two bytes on the wire and a hundred in
 * memory, so without it a frame of 4 MiB would become hundreds of megabytes. Real requests have a few hundred.
 */
const MAX_VALUES = 262_144;

/** What decoding may report besides the message. */
export interface DecodeOptions {
  /** Called for each field that the type does not define, or not with that wire type. */
  readonly onUnknown?: (typeName: string, number: number, wireType: number) => void;
}

/**
 * Reads a message. Throws DecodeError, and nothing else, whatever the bytes are. Strings and numbers are copies, `bytes`
 * fields are views of `bytes`: they change with it and keep it in memory.
 */
export function decode(typeName: string, bytes: Uint8Array, options?: DecodeOptions): object {
  return decodePlan(planOf(typeName), bytes, options);
}

/** {@link decode} for a type whose tables are at hand. */
export function decodePlan(plan: Plan, bytes: Uint8Array, options?: DecodeOptions): Tree {
  const buffer = Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return new Reader(buffer, options?.onUnknown).message(plan, buffer.length, undefined);
}

class Reader {
  readonly #b: Buffer;
  readonly #onUnknown: DecodeOptions["onUnknown"];
  readonly #dv = scratch;
  #pos = 0;
  #values = MAX_VALUES;
  /** Halves of the last 64-bit varint. */
  #low = 0;
  #high = 0;

  constructor(bytes: Buffer, onUnknown: DecodeOptions["onUnknown"]) {
    this.#b = bytes;
    this.#onUnknown = onUnknown;
  }

  /** Reads fields up to `end`, into `into` when the message occurs again. */
  message(plan: Plan, end: number, into: Tree | undefined): Tree {
    const message = into ?? emptyMessage(plan);
    const { byTag } = plan;
    while (this.#pos < end) {
      const tag = this.#varint32(end);
      const slot = tag < byTag.length ? byTag[tag] : plan.byLargeTag.get(tag);
      if (slot === undefined) {
        this.#unknown(plan.name, tag, end);
        continue;
      }
      switch (slot.shape) {
        case Shape.ONE:
          message[slot.name] =
            slot.op === Op.MESSAGE
              ? this.#submessage(slot, end, message[slot.name] as Tree | null)
              : this.#scalar(slot.op, end);
          break;
        case Shape.REPEATED:
          this.#count();
          (message[slot.name] as unknown[]).push(
            slot.op === Op.MESSAGE ? this.#submessage(slot, end, null) : this.#scalar(slot.op, end),
          );
          break;
        case Shape.PACKED:
          this.#numbers(slot, tag, end, message[slot.name] as unknown[]);
          break;
        case Shape.MAP:
          this.#entry(slot, end, message[slot.name] as Tree);
          break;
      }
    }
    return message;
  }

  #submessage(slot: Slot, end: number, into: Tree | null): Tree {
    const stop = this.#length(end);
    this.#count();
    return this.message(planOf(slot.type), stop, into ?? undefined);
  }

  #numbers(slot: Slot, tag: number, end: number, into: unknown[]): void {
    if (tag !== slot.tag) {
      this.#count();
      into.push(this.#scalar(slot.op, end));
      return;
    }
    const stop = this.#length(end);
    while (this.#pos < stop) {
      this.#count();
      into.push(this.#scalar(slot.op, stop));
    }
  }

  /** A map's entry is a message with the key in field 1 and the value in field 2, either of which may be absent. */
  #entry(slot: Slot, end: number, into: Tree): void {
    const stop = this.#length(end);
    this.#count();
    const valueTag = slot.op === Op.STRING || slot.op === Op.BYTES || slot.op === Op.MESSAGE ? 18 : 16;
    let key = "";
    let value: unknown = slot.op === Op.MESSAGE ? undefined : defaultOf(slot.op);
    while (this.#pos < stop) {
      const tag = this.#varint32(stop);
      if (tag === 10) key = this.#string(stop);
      else if (tag !== valueTag) this.#unknown(slot.path, tag, stop);
      else if (slot.op === Op.MESSAGE) value = this.#submessage(slot, stop, (value as Tree | undefined) ?? null);
      else value = this.#scalar(slot.op, stop);
    }
    into[key] = value === undefined ? emptyMessage(planOf(slot.type)) : value;
  }

  #scalar(op: Op, end: number): unknown {
    switch (op) {
      case Op.STRING:
        return this.#string(end);
      case Op.BYTES: {
        const stop = this.#length(end);
        const view = this.#b.subarray(this.#pos, stop);
        this.#pos = stop;
        return view;
      }
      case Op.BOOL:
        this.#varint64(end);
        return (this.#low | this.#high) !== 0;
      case Op.INT32:
        return this.#int32(end);
      case Op.UINT32:
        return this.#varint32(end);
      case Op.INT64:
      case Op.UINT64:
        return this.#bigint(op, end);
      case Op.MESSAGE:
        throw new TypeError("a message is no scalar");
    }
  }

  #int32(end: number): number {
    this.#varint64(end);
    // Negative numbers come sign-extended to 64 bits; anything else outside the range is refused, not cut.
    if (this.#high !== this.#low >> 31) {
      const value = this.#assemble(Op.INT64);
      throw new DecodeError("range", `Value too large for i32: ${value}`);
    }
    return this.#low;
  }

  #bigint(op: typeof Op.INT64 | typeof Op.UINT64, end: number): bigint {
    this.#varint64(end);
    if (this.#high === 0 && this.#low >= 0) return this.#low === 0 ? 0n : BigInt(this.#low);
    return this.#assemble(op);
  }

  #assemble(op: typeof Op.INT64 | typeof Op.UINT64): bigint {
    this.#dv.setInt32(0, this.#low, true);
    this.#dv.setInt32(4, this.#high, true);
    return op === Op.INT64 ? this.#dv.getBigInt64(0, true) : this.#dv.getBigUint64(0, true);
  }

  /** Reads a length and returns where it ends, which is never past `end`. */
  #length(end: number): number {
    const length = this.#varint32(end);
    if (length > end - this.#pos) throw new DecodeError("eof");
    return this.#pos + length;
  }

  #string(end: number): string {
    const stop = this.#length(end);
    const start = this.#pos;
    this.#pos = stop;
    return text(this.#b, start, stop);
  }

  /** A tag, a length or a uint32: at most five bytes, at most 32 bits. */
  #varint32(end: number): number {
    const b = this.#b;
    if (this.#pos < end) {
      const first = b[this.#pos] as number;
      if (first < 0x80) {
        this.#pos++;
        return first;
      }
    }
    let value = 0;
    for (let i = 0; i < 5; i++) {
      if (this.#pos >= end) throw new DecodeError("eof");
      const byte = b[this.#pos++] as number;
      if (i === 4) {
        if (byte > 0x0f) throw new DecodeError("varint");
        return (value | (byte << 28)) >>> 0;
      }
      value |= (byte & 0x7f) << (7 * i);
      if (byte < 0x80) return value;
    }
    throw new DecodeError("varint");
  }

  /** At most ten bytes, at most 64 bits, into the two halves. */
  #varint64(end: number): void {
    const b = this.#b;
    let low = 0;
    let high = 0;
    for (let i = 0; i < 10; i++) {
      if (this.#pos >= end) throw new DecodeError("eof");
      const byte = b[this.#pos++] as number;
      if (i === 9 && byte > 1) throw new DecodeError("varint");
      const bits = byte & 0x7f;
      if (i < 4) low |= bits << (7 * i);
      else if (i === 4) {
        low |= bits << 28;
        high = bits >>> 4;
      } else high |= bits << (7 * i - 32);
      if (byte < 0x80) break;
    }
    this.#low = low;
    this.#high = high;
  }

  #unknown(typeName: string, tag: number, end: number): void {
    const number = tag >>> 3;
    if (number === 0 || (tag & 7) > 5) throw new DecodeError("tag");
    this.#onUnknown?.(typeName, number, tag & 7);
    this.#skip(tag & 7, end, 0);
  }

  #skip(wire: number, end: number, depth: number): void {
    switch (wire) {
      case 0:
        this.#varint64(end);
        return;
      case 1:
        this.#step(8, end);
        return;
      case 2:
        this.#pos = this.#length(end);
        return;
      case 3:
        this.#skipGroup(end, depth + 1);
        return;
      case 5:
        this.#step(4, end);
        return;
      default:
        throw new DecodeError("wire-type");
    }
  }

  #skipGroup(end: number, depth: number): void {
    if (depth > MAX_DEPTH) throw new DecodeError("depth");
    for (;;) {
      const tag = this.#varint32(end);
      if (tag >>> 3 === 0 || (tag & 7) > 5) throw new DecodeError("tag");
      if ((tag & 7) === 4) return;
      this.#skip(tag & 7, end, depth);
    }
  }

  #step(n: number, end: number): void {
    if (n > end - this.#pos) throw new DecodeError("eof");
    this.#pos += n;
  }

  #count(): void {
    if (--this.#values < 0) throw new DecodeError("size", `message has more than ${MAX_VALUES} values`);
  }
}

/** Decoding is synchronous and reads the two halves at once, so that one is enough for all. */
const scratch: DataView = new DataView(new ArrayBuffer(8));

/** Up to this length an ASCII string is built character by character: a call into the runtime costs more. */
const TINY = 6;
/** Up to this length looking for a byte beyond ASCII costs less than decoding UTF-8. */
const SHORT = 96;

function text(b: Buffer, start: number, end: number): string {
  const length = end - start;
  if (length > SHORT) return utf8(b, start, end);
  let seen = 0;
  for (let i = start; i < end; i++) seen |= b[i] as number;
  if (seen >= 0x80) return utf8(b, start, end);
  if (length > TINY) return b.toString("latin1", start, end);
  let out = "";
  for (let i = start; i < end; i++) out += String.fromCharCode(b[i] as number);
  return out;
}

/** Bytes that are not UTF-8 always leave a U+FFFD, so the costlier look at them is needed only where there is one. */
function utf8(b: Buffer, start: number, end: number): string {
  const out = b.toString("utf8", start, end);
  if (out.includes("\ufffd") && !isUtf8(b.subarray(start, end))) throw new DecodeError("utf8");
  return out;
}
