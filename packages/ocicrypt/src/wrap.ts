import { type Cipheriv, createCipheriv, createDecipheriv, type Decipheriv } from "node:crypto";

import { OcicryptError } from "./error.ts";

/** How something small is encrypted (guest-components' `WrapType`): GCM with the tag behind the ciphertext, or CTR. */
export const WRAP_TYPES = ["A256GCM", "A256CTR"] as const;
export type WrapType = (typeof WRAP_TYPES)[number];

const KEY_BYTES = 32;
const TAG_BYTES = 16;
const IV_BYTES: Readonly<Record<WrapType, number>> = { A256GCM: 12, A256CTR: 16 };

export interface Wrapped {
  readonly type: WrapType;
  readonly iv: Uint8Array;
  readonly data: Uint8Array;
}

export function parseWrapType(text: unknown): WrapType {
  const type = WRAP_TYPES.find((one) => one === text);
  if (type === undefined) throw new OcicryptError("message", `wrap type: expected ${WRAP_TYPES.join(" or ")}`);
  return type;
}

/** The bytes that are needed of an IV: another length is refused before any cipher sees it. */
export function ivLength(type: WrapType): number {
  return IV_BYTES[type];
}

/** Throws OcicryptError `key` or `message`. */
export function wrap(type: WrapType, key: Uint8Array, iv: Uint8Array, plain: Uint8Array): Buffer {
  check(type, key, iv);
  if (type === "A256CTR") return whole(createCipheriv("aes-256-ctr", key, iv), plain);
  const cipher = createCipheriv("aes-256-gcm", key, iv);
  const data = cipher.update(plain);
  cipher.final();
  return Buffer.concat([data, cipher.getAuthTag()]);
}

/** The caller zeroes the result. Throws OcicryptError `key`, `message` or `decrypt`. */
export function unwrap({ type, iv, data }: Wrapped, key: Uint8Array): Buffer {
  check(type, key, iv);
  if (type === "A256CTR") return whole(createDecipheriv("aes-256-ctr", key, iv), data);
  if (data.length < TAG_BYTES) throw new OcicryptError("message", "wrapped data: expected a tag at its end");
  const decipher = createDecipheriv("aes-256-gcm", key, iv, { authTagLength: TAG_BYTES });
  decipher.setAuthTag(data.subarray(data.length - TAG_BYTES));
  // Nothing is handed out before the tag is checked.
  const plain = decipher.update(data.subarray(0, data.length - TAG_BYTES));
  try {
    decipher.final();
  } catch {
    plain.fill(0);
    throw new OcicryptError("decrypt", "wrapped data: this key does not open it");
  }
  return plain;
}

/** The end of a cipher is what wipes its key from OpenSSL's memory. */
function whole(cipher: Cipheriv | Decipheriv, bytes: Uint8Array): Buffer {
  const out = cipher.update(bytes);
  cipher.final();
  return out;
}

function check(type: WrapType, key: Uint8Array, iv: Uint8Array): void {
  if (key.length !== KEY_BYTES) throw new OcicryptError("key", `key: expected ${KEY_BYTES} bytes, got ${key.length}`);
  if (iv.length !== IV_BYTES[type]) {
    throw new OcicryptError("message", `${type}: expected an IV of ${IV_BYTES[type]} bytes, got ${iv.length}`);
  }
}
