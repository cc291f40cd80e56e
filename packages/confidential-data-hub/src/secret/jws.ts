import { createPublicKey, type JsonWebKey, type KeyObject, sign, verify } from "node:crypto";

import { parseStrictJson } from "@nacre/kbs-protocol";

import { HubError } from "../error.ts";

/** What a sealed secret begins with, in an environment value or a file. */
export const SEALED = "sealed.";

/** Characters of a sealed secret: what an environment value or a Secret can hold. */
export const MAX_SEALED: number = 1024 * 1024;

const ES256 = "ES256";
const SIGNATURE_BYTES = 64;
const HASH = "sha256";

/** A compact JWS whose signature has not been looked at. */
export interface Jws {
  readonly kid: string;
  readonly payload: Buffer;
  readonly signed: string;
  readonly signature: Buffer;
}

const malformed = (expected: string): HubError => new HubError("malformed", `sealed secret: expected ${expected}`);

/** Reads `[sealed.]HEADER.PAYLOAD.SIGNATURE`. Throws HubError `malformed`. */
export function parseJws(secret: Uint8Array): Jws {
  const text = textOf(secret);
  const parts = (text.startsWith(SEALED) ? text.slice(SEALED.length) : text).split(".");
  const [head, body, tail] = parts;
  if (head === undefined || body === undefined || tail === undefined || parts.length > 3) throw malformed("a JWS");
  const header = fieldsOf(fromBase64url(head).toString(), "header");
  // One algorithm, and one kind of key for it: a header cannot choose how it is verified.
  if (header["alg"] !== ES256) throw malformed(`a JWS of the algorithm ${ES256}`);
  if (header["crit"] !== undefined) throw malformed("a JWS without critical extensions");
  const { kid } = header;
  if (typeof kid !== "string" || kid === "") throw malformed("a JWS that names its key");
  const signature = fromBase64url(tail);
  if (signature.length !== SIGNATURE_BYTES) throw malformed(`a signature of ${SIGNATURE_BYTES} bytes`);
  return { kid, payload: fromBase64url(body), signed: `${head}.${body}`, signature };
}

/** The payload where nobody asks for a signature; the form is upstream's: four parts, the first of them `sealed`. */
export function unverifiedPayload(secret: Uint8Array): Buffer {
  const parts = textOf(secret).split(".");
  if (parts.length !== 4 || `${parts[0] ?? ""}.` !== SEALED) throw malformed("sealed.HEADER.PAYLOAD.SIGNATURE");
  return fromBase64url(parts[2] ?? "");
}

/** Throws HubError `malformed` when the signature is not that key's. */
export function verifyJws({ signed, signature }: Jws, key: KeyObject): void {
  const right = verify(HASH, Buffer.from(signed), { key, dsaEncoding: "ieee-p1363" }, signature);
  if (!right) throw malformed("a signature of the key that it names");
}

/** A P-256 key as JWK; a private one counts for its public part. Throws HubError `malformed`. */
export function parseVerificationKey(jwk: Uint8Array): KeyObject {
  const fields = fieldsOf(Buffer.from(jwk).toString(), "verification key");
  const { kty, crv, x, y, alg } = fields;
  if (kty !== "EC" || crv !== "P-256" || (alg !== undefined && alg !== ES256)) {
    throw new HubError("malformed", "verification key: expected a JWK of P-256");
  }
  try {
    return createPublicKey({ key: { kty, crv, x, y } as JsonWebKey, format: "jwk" });
  } catch {
    throw new HubError("malformed", "verification key: expected a point of P-256");
  }
}

/** `sealed.` and a compact JWS over the payload. `key` is a private key of P-256. */
export function signJws(payload: Uint8Array, kid: string, key: KeyObject): string {
  const part = (bytes: Uint8Array): string => Buffer.from(bytes).toString("base64url");
  const signed = `${part(Buffer.from(JSON.stringify({ alg: ES256, kid })))}.${part(payload)}`;
  return `${SEALED}${signed}.${part(sign(HASH, Buffer.from(signed), { key, dsaEncoding: "ieee-p1363" }))}`;
}

function textOf(secret: Uint8Array): string {
  if (secret.length > MAX_SEALED) throw malformed(`at most ${MAX_SEALED} bytes`);
  const text = Buffer.from(secret.buffer, secret.byteOffset, secret.byteLength).toString("latin1");
  if (!/^[A-Za-z0-9_.-]+$/u.test(text)) throw malformed("a JWS");
  return text;
}

function fromBase64url(text: string): Buffer {
  const bytes = Buffer.from(text, "base64url");
  if (bytes.toString("base64url") !== text) throw malformed("base64url");
  return bytes;
}

/** An object of JSON; what the text is stays out of the message. */
export function fieldsOf(text: string, what: string): Readonly<Record<string, unknown>> {
  let value: unknown;
  try {
    value = parseStrictJson(text, what);
  } catch {
    throw new HubError("malformed", `${what}: expected JSON`);
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new HubError("malformed", `${what}: expected an object`);
  }
  return value as Readonly<Record<string, unknown>>;
}
