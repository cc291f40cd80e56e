import { EncodeError } from "./error.ts";
import type { Tree } from "./plan.ts";
import { Op, type Plan, planOf, Shape, type Slot, wireType } from "./plan.ts";
import { Writer } from "./writer.ts";

/**
 * Writes a message: fields in number order, zeros left out, numbers packed, map entries in the object's order. Throws
 * EncodeError when a value does not fit its field. Properties that are no fields are ignored.
 */
export function encode(typeName: string, value: object): Uint8Array {
  return encodePlan(planOf(typeName), value);
}

/** The writer that is not in use. A getter in a value may encode too: it then gets a writer of its own. */
let idle: Writer | undefined;

/** {@link encode} for a type whose tables are at hand. */
export function encodePlan(plan: Plan, value: object): Uint8Array {
  const writer = idle ?? new Writer();
  idle = undefined;
  try {
    fields(writer, plan, value as Tree);
    return writer.finish();
  } finally {
    writer.reset();
    idle = writer;
  }
}

/** Everything is written from its end: a length is known when it is written, and no size has to be computed first. */
function fields(w: Writer, plan: Plan, message: Tree): void {
  const { slots } = plan;
  for (let i = slots.length - 1; i >= 0; i--) {
    const slot = slots[i] as Slot;
    const value = message[slot.name];
    if (value === undefined || value === null) continue;
    switch (slot.shape) {
      case Shape.ONE:
        if (slot.op === Op.MESSAGE) {
          submessage(w, slot, value);
          w.varint32(slot.tag);
        } else if (scalar(w, slot, value, slot.explicit)) w.varint32(slot.tag);
        break;
      case Shape.REPEATED: {
        const list = array(slot, value);
        for (let j = list.length - 1; j >= 0; j--) {
          if (slot.op === Op.MESSAGE) submessage(w, slot, list[j]);
          else scalar(w, slot, list[j], true);
          w.varint32(slot.tag);
        }
        break;
      }
      case Shape.PACKED: {
        const list = array(slot, value);
        if (list.length === 0) break;
        const end = w.mark();
        for (let j = list.length - 1; j >= 0; j--) scalar(w, slot, list[j], true);
        w.varint32(end - w.mark());
        w.varint32(slot.tag);
        break;
      }
      case Shape.MAP:
        entries(w, slot, value);
        break;
    }
  }
}

function submessage(w: Writer, slot: Slot, value: unknown): void {
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw wrong(slot, "a message", value);
  const end = w.mark();
  fields(w, planOf(slot.type), value as Tree);
  w.varint32(end - w.mark());
}

function entries(w: Writer, slot: Slot, value: unknown): void {
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw wrong(slot, "a map", value);
  const keys = Object.keys(value);
  for (let j = keys.length - 1; j >= 0; j--) {
    const key = keys[j] as string;
    const end = w.mark();
    if (slot.op === Op.MESSAGE) submessage(w, slot, (value as Tree)[key]);
    else scalar(w, slot, (value as Tree)[key], true);
    w.varint32(16 + wireType(slot.op));
    w.string(key);
    w.varint32(10);
    w.varint32(end - w.mark());
    w.varint32(slot.tag);
  }
}

/** Writes a scalar; a zero is written only when `zero` is set. Says whether it wrote. */
function scalar(w: Writer, slot: Slot, value: unknown, zero: boolean): boolean {
  switch (slot.op) {
    case Op.STRING:
      if (typeof value !== "string") throw wrong(slot, "a string", value);
      if (value === "" && !zero) return false;
      w.string(value);
      return true;
    case Op.BYTES:
      if (!(value instanceof Uint8Array)) throw wrong(slot, "bytes", value);
      if (value.length === 0 && !zero) return false;
      w.bytes(value);
      return true;
    case Op.BOOL:
      if (typeof value !== "boolean") throw wrong(slot, "a boolean", value);
      if (!value && !zero) return false;
      w.varint32(value ? 1 : 0);
      return true;
    case Op.INT32:
    case Op.UINT32:
      if (typeof value !== "number") throw wrong(slot, "a number", value);
      if (value === 0 && !zero) return false;
      if ((slot.op === Op.INT32 ? value | 0 : value >>> 0) !== value) throw outside(slot, value);
      if (value < 0) w.varint64(BigInt(value));
      else w.varint32(value);
      return true;
    case Op.INT64:
    case Op.UINT64: {
      if (typeof value === "number" && Number.isSafeInteger(value)) {
        if (value === 0 && !zero) return false;
        if (value >= 0 && value <= 0xffff_ffff) w.varint32(value);
        else if (value < 0 && slot.op === Op.UINT64) throw outside(slot, value);
        else w.varint64(BigInt(value));
        return true;
      }
      if (typeof value !== "bigint") throw wrong(slot, "a 64-bit integer", value);
      if (value === 0n && !zero) return false;
      const wrapped = slot.op === Op.INT64 ? BigInt.asIntN(64, value) : BigInt.asUintN(64, value);
      if (wrapped !== value) throw outside(slot, value);
      w.varint64(value);
      return true;
    }
    case Op.MESSAGE:
      throw new TypeError("a message is no scalar");
  }
}

function array(slot: Slot, value: unknown): readonly unknown[] {
  if (!Array.isArray(value)) throw wrong(slot, "a list", value);
  return value;
}

// The value itself stays out of the texts: it may be a secret.
function wrong(slot: Slot, expected: string, value: unknown): EncodeError {
  const got = value === null ? "null" : Array.isArray(value) ? "a list" : typeof value;
  return new EncodeError("type", `${slot.path}: expected ${expected}, got ${got}`);
}

function outside(slot: Slot, value: number | bigint): EncodeError {
  return new EncodeError("range", `${slot.path}: ${value} is not in the range of its type`);
}
