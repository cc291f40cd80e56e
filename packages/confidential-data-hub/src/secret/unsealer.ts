import { OcicryptError, unwrap } from "@nacre/ocicrypt";

import { HubError } from "../error.ts";
import type { OpenKms } from "../kms/kms.ts";
import { parseJws, unverifiedPayload, verifyJws } from "./jws.ts";
import { parseSealedSecret, type SealedSecret } from "./sealed-secret.ts";
import type { VerificationKeys } from "./verification-keys.ts";

/** For all that a secret asks of others. */
const TIMEOUT_MS = 150_000;

export interface UnsealerOptions {
  readonly keys: Pick<VerificationKeys, "get">;
  readonly openKms: OpenKms;
  /** Whether secrets are taken whoever signed them. */
  readonly skipVerification: boolean;
}

/** Opens sealed secrets: first whose they are, then what they say. */
export class Unsealer {
  readonly #options: UnsealerOptions;

  constructor(options: UnsealerOptions) {
    this.#options = options;
  }

  /** The caller zeroes the result. Rejects with HubError, KbsProtocolError or the signal's reason. */
  async unseal(secret: Uint8Array, signal: AbortSignal): Promise<Buffer> {
    const limit = AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)]);
    return await this.#open(parseSealedSecret(await this.#payload(secret, limit)), limit);
  }

  async #payload(secret: Uint8Array, signal: AbortSignal): Promise<Buffer> {
    if (this.#options.skipVerification) return unverifiedPayload(secret);
    const jws = parseJws(secret);
    verifyJws(jws, await this.#options.keys.get(jws.kid, signal));
    return jws.payload;
  }

  async #open(secret: SealedSecret, signal: AbortSignal): Promise<Buffer> {
    const kms = await this.#options.openKms(secret.provider, secret.settings, signal);
    if (secret.type === "vault") return await kms.secret(secret.name, secret.annotations, signal);
    const key = await kms.decrypt(secret.encryptedKey, secret.keyId, secret.annotations, signal);
    try {
      return unwrap(secret.data, key);
    } catch (cause) {
      if (cause instanceof OcicryptError) throw new HubError("malformed", `sealed secret: ${cause.message}`);
      throw cause;
    } finally {
      key.fill(0);
    }
  }
}
