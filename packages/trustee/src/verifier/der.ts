import { TrusteeError } from "../error.ts";

/** One value of DER: its tag byte, its content, and itself with tag and length. Both are views, not copies. */
export interface DerValue {
  readonly tag: number;
  readonly content: Buffer;
  readonly whole: Buffer;
}

/** Tags of X.690 that the certificates of platforms use. */
export const Tag = {
  BOOLEAN: 0x01,
  INTEGER: 0x02,
  BIT_STRING: 0x03,
  OCTET_STRING: 0x04,
  OID: 0x06,
  ENUMERATED: 0x0a,
  UTC_TIME: 0x17,
  GENERALIZED_TIME: 0x18,
  SEQUENCE: 0x30,
  CONTEXT_3: 0xa3,
} as const;

/** Values inside of one: the most that a certificate or a list of revoked ones has. */
const MAX_CHILDREN = 65_536;

/** The value at the start of the bytes. Throws `evidence` where its length is not what is there, or not DER's shortest. */
export function readDer(bytes: Buffer): DerValue {
  const tag = bytes[0];
  const first = bytes[1];
  if (tag === undefined || first === undefined) throw bad("a value");
  if ((tag & 0x1f) === 0x1f) throw bad("a tag of one byte");
  let header = 2;
  let length = first;
  if (first >= 0x80) {
    const count = first & 0x7f;
    // Three bytes hold the length of anything that fits below the caps of evidence.
    if (count === 0 || count > 3 || bytes.length < 2 + count) throw bad("a length");
    length = bytes.readUIntBE(2, count);
    header += count;
    if (length < 0x80 || length >>> ((count - 1) * 8) === 0) throw bad("the shortest form of a length");
  }
  if (header + length > bytes.length) throw bad(`${length} bytes of content`);
  return { tag, content: bytes.subarray(header, header + length), whole: bytes.subarray(0, header + length) };
}

/** The value that the bytes are, wholly, of this tag. */
export function readOnly(bytes: Buffer, tag: number): DerValue {
  const value = readDer(bytes);
  if (value.whole.length !== bytes.length) throw bad("no bytes behind the value");
  return expectTag(value, tag);
}

/** The values inside of one. */
export function children(value: DerValue): readonly DerValue[] {
  const list: DerValue[] = [];
  for (let rest = value.content; rest.length > 0;) {
    const child = readDer(rest);
    if (list.push(child) > MAX_CHILDREN) throw bad(`at most ${MAX_CHILDREN} values`);
    rest = rest.subarray(child.whole.length);
  }
  return list;
}

export function expectTag(value: DerValue | undefined, tag: number): DerValue {
  if (value?.tag !== tag)
    throw bad(`the tag 0x${tag.toString(16)}, got ${value === undefined ? "nothing" : `0x${value.tag.toString(16)}`}`);
  return value;
}

/** An object identifier in dotted form. */
export function oidText(value: DerValue): string {
  const arcs: bigint[] = [];
  let arc = 0n;
  for (const byte of expectTag(value, Tag.OID).content) {
    arc = (arc << 7n) | BigInt(byte & 0x7f);
    if (arc >> 128n !== 0n) throw bad("an arc of at most 128 bits");
    if (byte >= 0x80) continue;
    if (arcs.length === 0) {
      const root = arc < 80n ? arc / 40n : 2n;
      arcs.push(root, arc - root * 40n);
    } else arcs.push(arc);
    arc = 0n;
  }
  return arcs.join(".");
}

/** A non-negative integer that fits in a double. */
export function smallInteger(value: DerValue): number {
  const { content } = expectTag(value, Tag.INTEGER);
  const bytes = content[0] === 0 ? content.subarray(1) : content;
  if (content.length === 0 || (content[0] ?? 0) >= 0x80 || bytes.length > 6) throw bad("a small integer");
  return bytes.length === 0 ? 0 : bytes.readUIntBE(0, bytes.length);
}

function bad(expected: string): TrusteeError {
  return new TrusteeError("evidence", `DER: expected ${expected}`);
}
