import { createPublicKey, type KeyObject } from "node:crypto";

import { AttesterError } from "../error.ts";

/** Algorithms (TPM 2.0 Library, part 2, table 9). */
export const TpmAlg = { RSA: 0x0001, SHA256: 0x000b, NULL: 0x0010, RSASSA: 0x0014 } as const;
/** A PC client's registers. */
export const PCRS = 24;
export const PCR_BYTES = 32;

const TPM_GENERATED = 0xff544347;
const ATTEST_QUOTE = 0x8018;

/** Reads a TPM's structures: big-endian, each length checked against what is there. */
export class TpmReader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  get offset(): number {
    return this.#at;
  }

  u8(): number {
    return this.take(1).readUInt8();
  }

  u16(): number {
    return this.take(2).readUInt16BE();
  }

  u32(): number {
    return this.take(4).readUInt32BE();
  }

  /** Bytes behind their length. */
  sized(): Buffer {
    return this.take(this.u16());
  }

  take(length: number): Buffer {
    const end = this.#at + length;
    if (end > this.#bytes.length) {
      throw new AttesterError("malformed", `TPM: expected ${length} bytes at ${this.#at} of ${this.#bytes.length}`);
    }
    const part = this.#bytes.subarray(this.#at, end);
    this.#at = end;
    return part;
  }
}

/** A list of PCR selections over SHA-256: all registers, or those given. */
export function selection(registers: readonly number[]): Buffer {
  const bits = Buffer.alloc(3);
  for (const register of registers) {
    const byte = register >> 3;
    bits.writeUInt8(bits.readUInt8(byte) | (1 << (register & 7)), byte);
  }
  const head = Buffer.alloc(7);
  head.writeUInt32BE(1, 0);
  head.writeUInt16BE(TpmAlg.SHA256, 4);
  head.writeUInt8(bits.length, 6);
  return Buffer.concat([head, bits]);
}

/** Of a quote: what it was asked to hold, and the hash over the registers' values. */
export interface Quoted {
  readonly extraData: Buffer;
  readonly pcrDigest: Buffer;
}

/** Reads TPMS_ATTEST of a quote. Throws AttesterError `malformed`. */
export function parseQuote(attest: Buffer): Quoted {
  const reader = new TpmReader(attest);
  if (reader.u32() !== TPM_GENERATED || reader.u16() !== ATTEST_QUOTE) {
    throw new AttesterError("malformed", "TPM: expected a quote");
  }
  reader.sized();
  const extraData = reader.sized();
  // Clock, reset and restart counts, whether the clock is safe; the firmware's version.
  reader.take(8 + 4 + 4 + 1 + 8);
  for (let left = reader.u32(); left > 0; left--) {
    reader.u16();
    reader.take(reader.u8());
  }
  return { extraData, pcrDigest: reader.sized() };
}

/** The RSA key of a TPM2B_PUBLIC's contents. Throws AttesterError `malformed` or `unsupported`. */
export function parseRsaPublic(area: Buffer): KeyObject {
  const reader = new TpmReader(area);
  if (reader.u16() !== TpmAlg.RSA) throw new AttesterError("unsupported", "TPM: expected an attestation key of RSA");
  // Name's algorithm and attributes.
  reader.take(2 + 4);
  reader.sized();
  if (reader.u16() !== TpmAlg.NULL) reader.take(4);
  if (reader.u16() !== TpmAlg.NULL) reader.take(2);
  reader.u16();
  const exponent = reader.u32();
  const e = Buffer.alloc(4);
  e.writeUInt32BE(exponent === 0 ? 65_537 : exponent);
  const n = reader.sized();
  const start = e.findIndex((byte) => byte !== 0);
  return createPublicKey({
    key: { kty: "RSA", n: n.toString("base64url"), e: e.subarray(start).toString("base64url") },
    format: "jwk",
  });
}
