import { constants, createCipheriv, createECDH, publicEncrypt, randomBytes } from "node:crypto";

import { KbsProtocolError } from "../error.ts";
import {
  ECDH_ES_A256KW,
  type EcPublicKey,
  importTeePublicKey,
  RSA_OAEP_256,
  teePublicPoint,
  type TeePublicKey,
} from "../rcar/tee-public-key.ts";
import { concatKdf } from "./concat-kdf.ts";
import { A256GCM, CEK_BYTES, IV_BYTES } from "./flattened.ts";
import { wrapKey } from "./key-wrap.ts";

/**
 * A reply to a guest's key, as flattened JSON. The header is exactly alg, enc, epk{crv,kty,x,y} without blanks: upstream's
 * guest reads it and writes it again before it checks the tag. Throws KbsProtocolError `key`.
 */
export function encryptReply(plaintext: Uint8Array, to: TeePublicKey): string {
  const cek = randomBytes(CEK_BYTES);
  try {
    const { header, encryptedKey } = to.kty === "EC" ? wrapToEc(cek, to) : wrapToRsa(cek, to);
    const head = Buffer.from(JSON.stringify(header)).toString("base64url");
    const iv = randomBytes(IV_BYTES);
    const cipher = createCipheriv("aes-256-gcm", cek, iv).setAAD(Buffer.from(head, "latin1"));
    const ciphertext = Buffer.concat([cipher.update(plaintext), cipher.final()]);
    return JSON.stringify({
      protected: head,
      encrypted_key: encryptedKey.toString("base64url"),
      iv: iv.toString("base64url"),
      ciphertext: ciphertext.toString("base64url"),
      tag: cipher.getAuthTag().toString("base64url"),
    });
  } finally {
    cek.fill(0);
  }
}

interface Wrapped {
  readonly header: object;
  readonly encryptedKey: Buffer;
}

function wrapToEc(cek: Uint8Array, to: EcPublicKey): Wrapped {
  const { curve, point } = teePublicPoint(to);
  // Points as bytes: to make key objects of them, and texts of those, takes three times as long as the agreement.
  const ephemeral = createECDH(curve);
  const own = ephemeral.generateKeys();
  const secret = agree(() => ephemeral.computeSecret(point));
  const kek = concatKdf(secret, ECDH_ES_A256KW, 256);
  try {
    const size = (own.length - 1) / 2;
    const [x, y] = [own.toString("base64url", 1, 1 + size), own.toString("base64url", 1 + size)];
    return {
      header: { alg: ECDH_ES_A256KW, enc: A256GCM, epk: { crv: to.crv, kty: "EC", x, y } },
      encryptedKey: wrapKey(kek, cek),
    };
  } finally {
    secret.fill(0);
    kek.fill(0);
  }
}

/** The library finds here whether the guest's point is on the curve. */
function agree(compute: () => Buffer): Buffer {
  try {
    return compute();
  } catch (cause) {
    throw new KbsProtocolError("key", "TEE key: expected a valid public key", { cause });
  }
}

function wrapToRsa(cek: Uint8Array, to: TeePublicKey): Wrapped {
  const key = importTeePublicKey(to);
  return {
    header: { alg: RSA_OAEP_256, enc: A256GCM },
    encryptedKey: publicEncrypt({ key, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: "sha256" }, cek),
  };
}
