import { createHash } from "node:crypto";

/**
 * The key-encryption key of ECDH-ES (RFC 7518, section 4.6): one round of SHA-256 over the shared secret and the name of
 * the algorithm; nothing is said about the parties unless they are given.
 */
export function concatKdf(
  secret: Uint8Array,
  algorithm: string,
  bits: number,
  parties: { readonly apu?: Uint8Array; readonly apv?: Uint8Array } = {},
): Buffer {
  const { apu = new Uint8Array(), apv = new Uint8Array() } = parties;
  const hash = createHash("sha256").update(number(1)).update(secret);
  for (const part of [Buffer.from(algorithm), apu, apv]) hash.update(number(part.length)).update(part);
  return hash
    .update(number(bits))
    .digest()
    .subarray(0, bits / 8);
}

function number(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}
