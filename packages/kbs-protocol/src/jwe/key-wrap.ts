import { createCipheriv, createDecipheriv } from "node:crypto";

const CIPHER = "id-aes256-wrap";
/** RFC 3394, section 2.2.3.1. */
const IV: Buffer = Buffer.alloc(8, 0xa6);

/** A key of 32 bytes becomes 40 (RFC 3394). */
export function wrapKey(kek: Uint8Array, key: Uint8Array): Buffer {
  const cipher = createCipheriv(CIPHER, kek, IV);
  return Buffer.concat([cipher.update(key), cipher.final()]);
}

/** Throws where the wrapping is not that key's. */
export function unwrapKey(kek: Uint8Array, wrapped: Uint8Array): Buffer {
  const cipher = createDecipheriv(CIPHER, kek, IV);
  return Buffer.concat([cipher.update(wrapped), cipher.final()]);
}
