import { createPublicKey, type KeyObject } from "node:crypto";

import { KbsProtocolError } from "../error.ts";

/** How a reply is encrypted to a key: the `alg` of its JWK and of the JWE. */
export const ECDH_ES_A256KW = "ECDH-ES+A256KW";
export const RSA_OAEP_256 = "RSA-OAEP-256";

/** Coordinates are base64url without padding, of the curve's full length: 32 or 66 bytes. */
export interface EcPublicKey {
  readonly kty: "EC";
  readonly crv: string;
  readonly alg: string;
  readonly x: string;
  readonly y: string;
}
export interface RsaPublicKey {
  readonly kty: "RSA";
  readonly alg: string;
  readonly n: string;
  readonly e: string;
}
/** ML-KEM; nobody here makes such keys. */
export interface AkpPublicKey {
  readonly kty: "AKP";
  readonly alg: string;
  readonly pub: string;
}

/**
 * The guest's key as it stands in runtime data. These members and no others: a broker rebuilds the object before it
 * hashes it, so that a further one would break the binding.
 */
export type TeePublicKey = AkpPublicKey | EcPublicKey | RsaPublicKey;

const MEMBERS = { EC: ["crv", "alg", "x", "y"], RSA: ["alg", "n", "e"], AKP: ["alg", "pub"] } as const;

/**
 * The key of a JWK, without the members that do not count. What the texts hold is looked at when the key is used: a
 * broker only finds then that it cannot. Throws KbsProtocolError `message`.
 */
export function parseTeePublicKey(value: unknown): TeePublicKey {
  if (typeof value !== "object" || value === null) throw expected("an object");
  const jwk = value as Record<string, unknown>;
  const kty = jwk["kty"];
  if (kty !== "EC" && kty !== "RSA" && kty !== "AKP") throw expected("kty EC, RSA or AKP");
  const members = MEMBERS[kty].map((name) => {
    const text = jwk[name];
    if (typeof text !== "string") throw expected(`the text ${name}`);
    return [name, text] as const;
  });
  return { kty, ...Object.fromEntries(members) } as unknown as TeePublicKey;
}

/** Curves that keys may be on, and the bytes of a coordinate. */
export const CURVES: Readonly<Record<string, number>> = { "P-256": 32, "P-521": 66 };

/** OpenSSL's names of the curves. */
const OPENSSL_CURVES: Readonly<Record<string, string>> = { "P-256": "prime256v1", "P-521": "secp521r1" };

/**
 * The point of an EC key, uncompressed, and OpenSSL's name of its curve. Throws KbsProtocolError `key` for a curve or an
 * algorithm that replies cannot be encrypted with, a coordinate of another length; not for a point off the curve.
 */
export function teePublicPoint(key: EcPublicKey): { readonly curve: string; readonly point: Buffer } {
  if (key.alg !== ECDH_ES_A256KW)
    throw new KbsProtocolError("key", `TEE key: expected ${ECDH_ES_A256KW} or ${RSA_OAEP_256}`);
  const [size, curve] = [CURVES[key.crv], OPENSSL_CURVES[key.crv]];
  if (size === undefined || curve === undefined) throw new KbsProtocolError("key", "TEE key: expected P-256 or P-521");
  const [x, y] = [Buffer.from(key.x, "base64url"), Buffer.from(key.y, "base64url")];
  if (x.length !== size || y.length !== size)
    throw new KbsProtocolError("key", `TEE key: expected coordinates of ${size} bytes`);
  return { curve, point: Buffer.concat([Buffer.of(4), x, y]) };
}

/**
 * The key itself. Throws KbsProtocolError `key` for a curve or an algorithm that replies cannot be encrypted with, a
 * coordinate of another length, a point off the curve.
 */
export function importTeePublicKey(key: TeePublicKey): KeyObject {
  try {
    if (key.kty === "EC" && key.alg === ECDH_ES_A256KW) {
      teePublicPoint(key);
      return createPublicKey({ key: { kty: "EC", crv: key.crv, x: key.x, y: key.y }, format: "jwk" });
    }
    if (key.kty === "RSA" && key.alg === RSA_OAEP_256) {
      const bytes = Buffer.from(key.n, "base64url").length;
      if (bytes < 256 || bytes > 1024) throw new KbsProtocolError("key", "TEE key: expected 2048 to 8192 bits");
      return createPublicKey({ key: { kty: "RSA", n: key.n, e: key.e }, format: "jwk" });
    }
  } catch (cause) {
    if (cause instanceof KbsProtocolError) throw cause;
    throw new KbsProtocolError("key", "TEE key: expected a valid public key", { cause });
  }
  throw new KbsProtocolError("key", `TEE key: expected ${ECDH_ES_A256KW} or ${RSA_OAEP_256}`);
}

function expected(what: string): KbsProtocolError {
  return new KbsProtocolError("message", `tee-pubkey: expected ${what}`);
}
