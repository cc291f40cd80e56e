import { Errno } from "../errno.ts";
import { SysError } from "../error.ts";
import { align, malformed } from "./layout.ts";

/** An attribute of a netlink message: a type and bytes, which may be attributes again. */
export interface Attribute {
  readonly type: number;
  readonly value: Buffer;
}

const HEADER = 4;
/** The length field has 16 bits. */
const MAX_VALUE: number = 0xffff - HEADER;
/** NLA_F_NESTED and NLA_F_NET_BYTEORDER are told by the type's upper bits. */
const TYPE_MASK = 0x3fff;

/** Throws SysError EMSGSIZE where a value is too long for an attribute. */
export function encodeAttributes(attributes: readonly Attribute[]): Buffer {
  let size = 0;
  for (const { value } of attributes) {
    if (value.length > MAX_VALUE) {
      const text = `netlink: expected an attribute of at most ${MAX_VALUE} bytes, got ${value.length}`;
      throw new SysError("EMSGSIZE", Errno.EMSGSIZE, "netlink", text);
    }
    size += align(HEADER + value.length);
  }
  const bytes = Buffer.alloc(size);
  let offset = 0;
  for (const { type, value } of attributes) {
    bytes.writeUInt16LE(HEADER + value.length, offset);
    bytes.writeUInt16LE(type, offset + 2);
    value.copy(bytes, offset + HEADER);
    offset += align(HEADER + value.length);
  }
  return bytes;
}

/** Values are views of `bytes`. Throws SysError `parse` where one does not fit. */
export function parseAttributes(bytes: Buffer): Attribute[] {
  const attributes: Attribute[] = [];
  for (let offset = 0; offset < bytes.length;) {
    if (bytes.length - offset < HEADER) throw malformed("an attribute's header", bytes.length - offset);
    const length = bytes.readUInt16LE(offset);
    if (length < HEADER || length > bytes.length - offset) throw malformed("an attribute's length", length);
    const type = bytes.readUInt16LE(offset + 2) & TYPE_MASK;
    attributes.push({ type, value: bytes.subarray(offset + HEADER, offset + length) });
    offset += align(length);
  }
  return attributes;
}

/** A 32-bit number as an attribute's value. */
export function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value >>> 0);
  return bytes;
}

/** The value of an attribute that holds a 32-bit number; undefined where it is absent. Throws SysError `parse`. */
export function readU32(attributes: readonly Attribute[], type: number): number | undefined {
  const value = valueOf(attributes, type);
  if (value !== undefined && value.length !== 4) throw malformed("a number of four bytes", value.length);
  return value?.readUInt32LE(0);
}

export function valueOf(attributes: readonly Attribute[], type: number): Buffer | undefined {
  return attributes.find((attribute) => attribute.type === type)?.value;
}
