/** A field of a message: its number and a text, bytes or a flag. */
export type ProtobufField = readonly [number: number, value: Uint8Array | string | boolean];

const LENGTH_DELIMITED = 2;
const MAX_VARINT_BYTES = 5;

/** A message of proto3 with field numbers up to 15; empty and false fields are left out. */
export function encodeFields(fields: readonly ProtobufField[]): Buffer {
  return Buffer.concat(
    fields.flatMap(([number, value]) => {
      if (typeof value === "boolean") return value ? [Buffer.of(number << 3, 1)] : [];
      const bytes = typeof value === "string" ? Buffer.from(value) : value;
      return bytes.length === 0 ? [] : [Buffer.of((number << 3) | LENGTH_DELIMITED), varint(bytes.length), bytes];
    }),
  );
}

/** The first length-delimited field of that number, a view; undefined where there is none or the bytes are no message. */
export function fieldOf(message: Buffer, number: number): Buffer | undefined {
  let at = 0;
  const next = (): number | undefined => {
    let value = 0;
    for (let shift = 0; shift < 7 * MAX_VARINT_BYTES; shift += 7) {
      const byte = message[at++];
      if (byte === undefined) return undefined;
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) return value;
    }
    return undefined;
  };
  while (at < message.length) {
    const tag = next();
    if (tag === undefined) return undefined;
    if ((tag & 7) === 0) {
      if (next() === undefined) return undefined;
    } else if ((tag & 7) === LENGTH_DELIMITED) {
      const length = next();
      if (length === undefined || length > message.length - at) return undefined;
      if (tag >>> 3 === number) return message.subarray(at, at + length);
      at += length;
    } else return undefined;
  }
  return undefined;
}

function varint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value;
  while (rest >= 0x80) {
    bytes.push((rest & 0x7f) | 0x80);
    rest >>>= 7;
  }
  return Buffer.of(...bytes, rest);
}
