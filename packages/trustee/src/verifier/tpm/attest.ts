import { createHash, type KeyObject, verify } from "node:crypto";

import { TrusteeError } from "../../error.ts";

/** TPM_GENERATED_VALUE: only the TPM itself makes structures that begin with it. */
const GENERATED = 0xff544347;
const ATTEST_QUOTE = 0x8018;
const ALG_SHA256 = 0x000b;
const ALG_RSASSA = 0x0014;
const MAX_BLOB = 1024;

/** Platform configuration registers of a bank. */
export const PCR_COUNT = 24;

/** What a TPM signed (TPM 2.0 part 2, TPMS_ATTEST of a quote). */
export interface TpmQuote {
  readonly extraData: Buffer;
  /** SHA-256 over the values of registers 0 to 23 of the SHA-256 bank. */
  readonly pcrDigest: Buffer;
}

/** Reads the marshalled TPMS_ATTEST of a quote over all 24 registers of the SHA-256 bank. Throws `evidence`. */
export function parseQuote(message: Buffer): TpmQuote {
  const reader = new BigEndianReader(message);
  if (reader.u32() !== GENERATED) throw bad("a structure that the TPM made");
  if (reader.u16() !== ATTEST_QUOTE) throw bad("a quote");
  reader.sized(MAX_BLOB); // the signer's qualified name
  const extraData = reader.sized(MAX_BLOB);
  reader.take(17); // clock, reset and restart counts, safe
  reader.take(8); // firmware version
  if (reader.u32() !== 1 || reader.u16() !== ALG_SHA256) throw bad("one bank, SHA-256");
  const select = reader.take(reader.u8());
  if (select.length < 3 || select.readUIntBE(0, 3) !== 0xffffff || select.subarray(3).some((byte) => byte !== 0)) {
    throw bad(`registers 0 to ${PCR_COUNT - 1}`);
  }
  const pcrDigest = reader.sized(MAX_BLOB);
  reader.end();
  return { extraData, pcrDigest };
}

/** The signature in a marshalled TPMT_SIGNATURE: RSASSA with SHA-256. Throws `evidence`, `unsupported`. */
export function parseSignature(bytes: Buffer): Buffer {
  const reader = new BigEndianReader(bytes);
  const [scheme, hash] = [reader.u16(), reader.u16()];
  if (scheme !== ALG_RSASSA || hash !== ALG_SHA256) {
    throw new TrusteeError("unsupported", "TPM signature: expected RSASSA with SHA-256");
  }
  const signature = reader.sized(MAX_BLOB);
  reader.end();
  return signature;
}

/** Signed by this key, over these registers. Throws `signature`, `mismatch`. */
export function verifyQuote(message: Buffer, signature: Buffer, pcrs: readonly Buffer[], key: KeyObject): TpmQuote {
  if (key.asymmetricKeyType !== "rsa" || (key.asymmetricKeyDetails?.modulusLength ?? 0) < 2048) {
    throw new TrusteeError("signature", "TPM quote: expected an RSA key of at least 2048 bits");
  }
  if (!verify("sha256", message, key, signature))
    throw new TrusteeError("signature", "TPM quote: expected the signature of its key");
  const quote = parseQuote(message);
  const digest = createHash("sha256").update(Buffer.concat(pcrs)).digest();
  if (!digest.equals(quote.pcrDigest))
    throw new TrusteeError("mismatch", "TPM quote: its digest is not that of the registers");
  return quote;
}

/** The 24 registers from their texts. Throws `evidence`. */
export function parsePcrs(list: readonly unknown[], what: string): readonly Buffer[] {
  if (list.length !== PCR_COUNT)
    throw new TrusteeError("evidence", `${what}: expected ${PCR_COUNT} registers, got ${list.length}`);
  return list.map((value) => {
    if (typeof value !== "string" || !/^[0-9a-fA-F]{64}$/u.test(value)) {
      throw new TrusteeError("evidence", `${what}: expected registers of 64 hexadecimal digits`);
    }
    return Buffer.from(value, "hex");
  });
}

/** What a register holds after a digest was extended into its zeros: how initdata gets into register 8. */
export function extendedOnce(digest: Buffer): Buffer {
  if (digest.length !== 32) {
    throw new TrusteeError("mismatch", `initdata: a TPM register takes digests of 32 bytes, got ${digest.length}`);
  }
  return createHash("sha256").update(Buffer.alloc(32)).update(digest).digest();
}

/** Claims `pcr00` to `pcr23`. */
export function pcrClaims(pcrs: readonly Buffer[]): Record<string, string> {
  return Object.fromEntries(pcrs.map((pcr, at) => [`pcr${String(at).padStart(2, "0")}`, pcr.toString("hex")]));
}

class BigEndianReader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
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

  sized(maximum: number): Buffer {
    const length = this.u16();
    if (length > maximum) throw bad(`at most ${maximum} bytes`);
    return this.take(length);
  }

  take(length: number): Buffer {
    if (this.#at + length > this.#bytes.length) throw bad(`${length} more bytes`);
    this.#at += length;
    return this.#bytes.subarray(this.#at - length, this.#at);
  }

  end(): void {
    if (this.#at !== this.#bytes.length) throw bad("no bytes behind the structure");
  }
}

function bad(expected: string): TrusteeError {
  return new TrusteeError("evidence", `TPM structure: expected ${expected}`);
}
