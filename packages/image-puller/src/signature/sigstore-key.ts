import { createPublicKey, type KeyObject, verify } from "node:crypto";

import { PullError } from "../error.ts";

/** What a signature is made over before it is signed, by the key's kind; null where the scheme does that itself. */
const HASH_OF_CURVE: Readonly<Record<string, string>> = { prime256v1: "sha256", secp384r1: "sha384" };
/** A shorter RSA key is within reach of who has time. */
const MIN_RSA_BITS = 2048;

/** A public key that signs images as cosign does: P-256, P-384, RSA (PKCS#1 v1.5, SHA-256) or Ed25519. */
export class SigstoreKey {
  readonly #key: KeyObject;
  readonly #hash: string | null;

  private constructor(key: KeyObject, hash: string | null) {
    this.#key = key;
    this.#hash = hash;
  }

  /** Reads a public key in PEM. @throws PullError `configuration` */
  static parse(pem: Uint8Array): SigstoreKey {
    const text = Buffer.from(pem).toString("latin1");
    if (!text.trimStart().startsWith("-----BEGIN PUBLIC KEY-----")) {
      throw new PullError("configuration", "expected a public key in PEM");
    }
    let key: KeyObject;
    try {
      key = createPublicKey(text);
    } catch (error) {
      throw new PullError("configuration", "the public key does not parse", { cause: error });
    }
    const { namedCurve = "", modulusLength = 0 } = key.asymmetricKeyDetails ?? {};
    if (key.asymmetricKeyType === "ed25519") return new SigstoreKey(key, null);
    if (key.asymmetricKeyType === "rsa" && modulusLength >= MIN_RSA_BITS) return new SigstoreKey(key, "sha256");
    if (key.asymmetricKeyType === "ec" && Object.hasOwn(HASH_OF_CURVE, namedCurve)) {
      return new SigstoreKey(key, HASH_OF_CURVE[namedCurve] ?? null);
    }
    throw new PullError(
      "configuration",
      `expected a key P-256, P-384, Ed25519 or RSA of ${MIN_RSA_BITS} bits, got ${key.asymmetricKeyType} ${namedCurve || modulusLength || ""}`.trim(),
    );
  }

  verifies(payload: Uint8Array, signature: Uint8Array): boolean {
    try {
      return verify(this.#hash, payload, this.#key, signature);
    } catch {
      // OpenSSL throws where the bytes are no signature of that kind at all.
      return false;
    }
  }
}
