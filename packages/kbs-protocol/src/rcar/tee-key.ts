import {
  createPrivateKey,
  generateKeyPair,
  generateKeyPairSync,
  type JsonWebKey,
  type KeyObject,
  createPublicKey,
} from "node:crypto";
import { promisify } from "node:util";

import { KbsProtocolError } from "../error.ts";
import { decryptReply } from "../jwe/decrypt.ts";
import { CURVES, ECDH_ES_A256KW, RSA_OAEP_256, type TeePublicKey } from "./tee-public-key.ts";

/** Kinds of keys by their names in the agent's configuration (guest-components, `tee_key_algorithm`). */
export const TEE_KEY_ALGORITHMS = ["ECDH-ES+A256KW-P256", "ECDH-ES+A256KW-P521", "RSA-OAEP-256"] as const;
export type TeeKeyAlgorithm = (typeof TEE_KEY_ALGORITHMS)[number];

const RSA_BITS = 2048;

/** A key pair of the guest, to which a broker encrypts. The private part is in OpenSSL's memory, never in a text. */
export class TeeKey {
  readonly publicKey: TeePublicKey;
  readonly #private: KeyObject;

  private constructor(privateKey: KeyObject) {
    this.#private = privateKey;
    this.publicKey = publicPart(privateKey);
  }

  static async generate(algorithm: TeeKeyAlgorithm = "ECDH-ES+A256KW-P256"): Promise<TeeKey> {
    switch (algorithm) {
      case "ECDH-ES+A256KW-P256":
        // A twentieth of a millisecond; a thread would take longer to ask.
        return new TeeKey(generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey);
      case "ECDH-ES+A256KW-P521":
        return new TeeKey(generateKeyPairSync("ec", { namedCurve: "P-521" }).privateKey);
      case "RSA-OAEP-256":
        return new TeeKey((await promisify(generateKeyPair)("rsa", { modulusLength: RSA_BITS })).privateKey);
    }
  }

  /** Reads PKCS#8, SEC 1 or PKCS#1 in PEM. Throws KbsProtocolError `key`. */
  static fromPem(pem: Uint8Array): TeeKey {
    let key: KeyObject;
    try {
      key = createPrivateKey(Buffer.from(pem.buffer, pem.byteOffset, pem.byteLength));
    } catch (cause) {
      throw new KbsProtocolError("key", "TEE key: expected a private key in PEM", { cause });
    }
    return new TeeKey(key);
  }

  /** PEM, PKCS#8 of an EC key and PKCS#1 of an RSA key. The caller zeroes it. */
  toPem(): Buffer {
    const rsa = this.publicKey.kty === "RSA";
    const der = this.#private.export({ format: "der", type: rsa ? "pkcs1" : "pkcs8" });
    try {
      return pem(der, rsa ? "RSA PRIVATE KEY" : "PRIVATE KEY");
    } finally {
      der.fill(0);
    }
  }

  /** What a broker's reply holds. The caller zeroes it. Throws KbsProtocolError `jwe`. */
  decrypt(reply: string): Buffer {
    return decryptReply(reply, this.#private);
  }
}

function publicPart(key: KeyObject): TeePublicKey {
  const jwk: JsonWebKey = createPublicKey(key).export({
    format: "jwk",
  });
  if (jwk.kty === "RSA") return { kty: "RSA", alg: RSA_OAEP_256, n: jwk.n ?? "", e: jwk.e ?? "" };
  if (jwk.kty === "EC" && CURVES[jwk.crv ?? ""] !== undefined) {
    return { kty: "EC", crv: jwk.crv ?? "", alg: ECDH_ES_A256KW, x: jwk.x ?? "", y: jwk.y ?? "" };
  }
  throw new KbsProtocolError("key", "TEE key: expected EC on P-256 or P-521, or RSA");
}

const ALPHABET: Buffer = Buffer.from("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/");
const LINE = 64;

/** Written byte by byte, because a text cannot be wiped. */
function pem(der: Buffer, label: string): Buffer {
  const begin = Buffer.from(`-----BEGIN ${label}-----\n`);
  const end = Buffer.from(`-----END ${label}-----\n`);
  const characters = Math.ceil(der.length / 3) * 4;
  const out = Buffer.alloc(begin.length + characters + Math.ceil(characters / LINE) + end.length);
  let at = begin.copy(out);
  let column = 0;
  const put = (character: number): void => {
    out[at++] = character;
    if (++column < LINE) return;
    out[at++] = 0x0a;
    column = 0;
  };
  for (let i = 0; i < der.length; i += 3) {
    const left = Math.min(3, der.length - i);
    const group = ((der[i] ?? 0) << 16) | ((der[i + 1] ?? 0) << 8) | (der[i + 2] ?? 0);
    for (let j = 0; j < 4; j++) put(j <= left ? (ALPHABET[(group >> (18 - 6 * j)) & 63] ?? 0) : 0x3d);
  }
  if (column > 0) out[at++] = 0x0a;
  end.copy(out, at);
  return out;
}
