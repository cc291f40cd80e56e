import {
  constants,
  createDecipheriv,
  createPublicKey,
  diffieHellman,
  type JsonWebKey,
  type KeyObject,
  privateDecrypt,
} from "node:crypto";

import { KbsProtocolError } from "../error.ts";
import { CURVES, ECDH_ES_A256KW, RSA_OAEP_256 } from "../rcar/tee-public-key.ts";
import { concatKdf } from "./concat-kdf.ts";
import { A256GCM, authenticated, bad, CEK_BYTES, type FlattenedJwe, parseFlattenedJwe } from "./flattened.ts";
import { unwrapKey } from "./key-wrap.ts";

/** A key of 32 bytes, wrapped. */
const WRAPPED_BYTES = CEK_BYTES + 8;

/**
 * What a reply holds. The algorithm must be the key's own: what the header names only has to agree. The caller zeroes
 * the result. Throws KbsProtocolError `jwe`, `json` or `too-long`; why a decryption fails is not told.
 */
export function decryptReply(text: string, key: KeyObject): Buffer {
  const jwe = parseFlattenedJwe(text);
  if (jwe.header["enc"] !== A256GCM) throw bad(`enc ${A256GCM}`);
  const cek = key.asymmetricKeyType === "rsa" ? cekOfRsa(jwe, key) : cekOfEc(jwe, key);
  try {
    if (cek.length !== CEK_BYTES) throw new KbsProtocolError("jwe", "encrypted reply: decryption failed");
    const decipher = createDecipheriv("aes-256-gcm", cek, jwe.iv).setAAD(authenticated(jwe)).setAuthTag(jwe.tag);
    // Nothing is handed out before the tag is checked.
    const plain = decipher.update(jwe.ciphertext);
    try {
      decipher.final();
    } catch (cause) {
      plain.fill(0);
      throw failed(cause);
    }
    return plain;
  } finally {
    cek.fill(0);
  }
}

function cekOfEc({ header, encryptedKey }: FlattenedJwe, key: KeyObject): Buffer {
  if (header["alg"] !== ECDH_ES_A256KW) throw bad(`alg ${ECDH_ES_A256KW}`);
  if (encryptedKey.length !== WRAPPED_BYTES) throw bad(`an encrypted key of ${WRAPPED_BYTES} bytes`);
  const secret = diffieHellman({ privateKey: key, publicKey: ephemeralKey(header["epk"], key) });
  const kek = concatKdf(secret, ECDH_ES_A256KW, 256, { apu: party(header["apu"]), apv: party(header["apv"]) });
  try {
    return unwrapKey(kek, encryptedKey);
  } catch (cause) {
    throw failed(cause);
  } finally {
    secret.fill(0);
    kek.fill(0);
  }
}

/** Checked to be a point of the key's own curve. */
function ephemeralKey(value: unknown, key: KeyObject): KeyObject {
  const { kty, crv, x, y } = (typeof value === "object" && value !== null ? value : {}) as Record<string, unknown>;
  const own = key.asymmetricKeyDetails?.namedCurve === "prime256v1" ? "P-256" : "P-521";
  const size = CURVES[own];
  const whole = [x, y].every((text) => typeof text === "string" && Buffer.from(text, "base64url").length === size);
  if (kty !== "EC" || crv !== own || !whole) throw bad(`epk to be a point of ${own}`);
  try {
    return createPublicKey({ key: { kty, crv, x, y } as JsonWebKey, format: "jwk" });
  } catch (cause) {
    throw bad(`epk to be a point of ${own}`, cause);
  }
}

function party(value: unknown): Uint8Array {
  if (value === undefined) return new Uint8Array();
  if (typeof value !== "string") throw bad("texts as apu and apv");
  return Buffer.from(value, "base64url");
}

function cekOfRsa({ header, encryptedKey }: FlattenedJwe, key: KeyObject): Buffer {
  if (header["alg"] !== RSA_OAEP_256) throw bad(`alg ${RSA_OAEP_256}`);
  try {
    return privateDecrypt({ key, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: "sha256" }, encryptedKey);
  } catch (cause) {
    throw failed(cause);
  }
}

function failed(cause: unknown): KbsProtocolError {
  return new KbsProtocolError("jwe", "encrypted reply: decryption failed", { cause });
}
