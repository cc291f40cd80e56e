import { createCipheriv, createDecipheriv, createHmac, timingSafeEqual } from "node:crypto";

import { OcicryptError } from "./error.ts";
import type { PrivateOptions } from "./layer-options.ts";

type Keys = Pick<PrivateOptions, "key" | "nonce">;

const CTR = "aes-256-ctr";

/** A layer's bytes on their way to their encrypted form; {@link finish} gives the HMAC of its public options. */
export interface LayerEncryption {
  update(plain: Uint8Array): Buffer;
  finish(): Buffer;
}

export function encryptLayer({ key, nonce }: Keys): LayerEncryption {
  const cipher = createCipheriv(CTR, key, nonce);
  const hmac = createHmac("sha256", key);
  return {
    update(plain) {
      const data = cipher.update(plain);
      hmac.update(data);
      return data;
    },
    finish() {
      cipher.final();
      return hmac.digest();
    },
  };
}

/** The other way. What {@link update} gives is not to be believed before {@link finish} has returned. */
export interface LayerDecryption {
  update(data: Uint8Array): Buffer;
  /** Throws OcicryptError `decrypt` when the layer is not what was encrypted. */
  finish(): void;
}

export function decryptLayer({ key, nonce }: Keys, hmac: Uint8Array): LayerDecryption {
  const decipher = createDecipheriv(CTR, key, nonce);
  const actual = createHmac("sha256", key);
  return {
    update(data) {
      actual.update(data);
      return decipher.update(data);
    },
    finish() {
      decipher.final();
      const found = actual.digest();
      if (hmac.length !== found.length || !timingSafeEqual(found, hmac)) {
        throw new OcicryptError("decrypt", "encrypted layer: its HMAC is another");
      }
    },
  };
}
