import { fromBase64 } from "./base64.ts";
import { OcicryptError } from "./error.ts";
import { fields, parseFields } from "./fields.ts";

/** The annotation of a layer's public options. */
export const PUBLIC_OPTIONS_ANNOTATION = "org.opencontainers.image.enc.pubopts";

/** The one cipher of ocicrypt: AES-256 in counter mode, and HMAC-SHA-256 of the ciphertext with the same key. */
export const CIPHER = "AES_256_CTR_HMAC_SHA256";

const KEY_BYTES = 32;
const NONCE_BYTES = 16;
const HMAC_BYTES = 32;

/** What must be known to open a layer; secret, wrapped in a packet. */
export interface PrivateOptions {
  readonly key: Buffer;
  readonly nonce: Buffer;
  /** Of the layer before encryption, `sha256:…`. */
  readonly digest: string;
}

/** Throws OcicryptError `message` or `key`. The caller zeroes key and nonce. */
export function parsePrivateOptions(json: Uint8Array): PrivateOptions {
  const what = "private options";
  const options = parseFields(Buffer.from(json).toString(), what);
  const key = fromBase64(options["symkey"], "symkey");
  const nonce = fromBase64(fields(options["cipheroptions"], "cipheroptions")["nonce"], "nonce");
  if (key.length !== KEY_BYTES || nonce.length !== NONCE_BYTES) {
    throw new OcicryptError("key", `${what}: expected ${KEY_BYTES} bytes of key and ${NONCE_BYTES} of nonce`);
  }
  const digest = options["digest"];
  if (typeof digest !== "string") throw new OcicryptError("message", `${what}: expected a digest`);
  return { key, nonce, digest };
}

/** As Go's ocicrypt writes it. The caller zeroes it. */
export function formatPrivateOptions({ key, nonce, digest }: PrivateOptions): Buffer {
  return Buffer.from(
    `{"symkey":"${key.toString("base64")}","digest":${JSON.stringify(digest)},"cipheroptions":{"nonce":"${nonce.toString("base64")}"}}`,
  );
}

/** The HMAC of a layer's public options. Throws OcicryptError `message`. */
export function parsePublicOptions(json: string): Buffer {
  const what = "public options";
  const options = parseFields(json, what);
  if (options["cipher"] !== CIPHER) throw new OcicryptError("message", `${what}: expected the cipher ${CIPHER}`);
  const hmac = fromBase64(options["hmac"], "hmac");
  if (hmac.length !== HMAC_BYTES) throw new OcicryptError("message", `${what}: expected ${HMAC_BYTES} bytes of HMAC`);
  return hmac;
}

export function formatPublicOptions(hmac: Uint8Array): string {
  return JSON.stringify({ cipher: CIPHER, hmac: Buffer.from(hmac).toString("base64"), cipheroptions: {} });
}
