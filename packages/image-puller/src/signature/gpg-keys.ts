import {
  config as defaults,
  type Config,
  enums,
  type Key,
  readKeys,
  readMessage,
  type Signature,
  verify,
} from "openpgp";

import { PullError } from "../error.ts";
import { MAX_PAYLOAD } from "./payload.ts";
import type { SimpleSigningKeys } from "./verdict.ts";

/** A keyring of a distribution has some hundred kilobytes. */
const MAX_KEYRING: number = 4 * 1024 * 1024;
/** A signed payload with the signature's packets around it. */
const MAX_SIGNED: number = MAX_PAYLOAD + 64 * 1024;
/** Compression cannot make more of it. */
const CONFIG: Config = {
  ...defaults,
  maxDecompressedMessageSize: MAX_SIGNED,
  rejectMessageHashAlgorithms: new Set([enums.hash.md5, enums.hash.ripemd, enums.hash.sha1]),
};

/** The keys of some keyrings, binary or armoured (RFC 4880, 9580). */
export class GpgKeys implements SimpleSigningKeys {
  readonly #keys: readonly Key[];

  private constructor(keys: readonly Key[]) {
    this.#keys = keys;
  }

  /** @throws PullError `configuration` for a keyring without a key */
  static async parse(keyrings: readonly Uint8Array[]): Promise<GpgKeys> {
    const keys: Key[] = [];
    for (const ring of keyrings) {
      if (ring.length > MAX_KEYRING) {
        throw new PullError("configuration", `GPG keyring: ${ring.length} bytes, at most ${MAX_KEYRING}`);
      }
      try {
        const armoured = Buffer.from(ring.subarray(0, 64)).toString("latin1").trimStart().startsWith("-----BEGIN PGP");
        keys.push(
          ...(armoured
            ? await readKeys({ armoredKeys: Buffer.from(ring).toString("latin1"), config: CONFIG })
            : await readKeys({ binaryKeys: ring, config: CONFIG })),
        );
      } catch (error) {
        throw new PullError("configuration", "GPG keyring: it does not parse", { cause: error });
      }
    }
    return new GpgKeys(keys);
  }

  /**
   * The content of a signed message, where one of its signatures is valid: made by a key of these or by a signing subkey, neither
   * expired nor revoked, not itself expired, over a strong hash.
   *
   * @throws PullError `signature`
   */
  async open(signed: Uint8Array): Promise<Uint8Array> {
    if (signed.length > MAX_SIGNED) throw refused(`${signed.length} bytes, at most ${MAX_SIGNED}`);
    try {
      const message = await readMessage({ binaryMessage: signed, config: CONFIG });
      const { data, signatures } = await verify({
        message,
        verificationKeys: [...this.#keys],
        format: "binary",
        config: CONFIG,
      });
      if (signatures.length === 0) throw refused("it is not signed");
      let cause: unknown;
      for (const { keyID, verified, signature } of signatures) {
        try {
          await verified;
          await this.#checkKey(keyID.toHex(), await signature);
          return data;
        } catch (error) {
          cause ??= error;
        }
      }
      throw cause;
    } catch (error) {
      if (error instanceof PullError) throw error;
      throw refused("it is not by a valid key of the policy", error);
    }
  }

  /** The key must be good now, not only when the signature says that it was made: the signer chooses that. */
  async #checkKey(id: string, signature: Signature): Promise<void> {
    const now = new Date();
    const key = this.#keys.find((candidate) => candidate.getKeys().some((part) => part.getKeyID().toHex() === id));
    if (key === undefined) throw refused("by a key that the policy does not have");
    await key.verifyPrimaryKey(now);
    await key.getSigningKey(
      key
        .getKeys()
        .find((part) => part.getKeyID().toHex() === id)
        ?.getKeyID(),
      now,
    );
    if (signature.packets.length !== 1) throw refused("expected one signature packet");
  }
}

function refused(why: string, cause?: unknown): PullError {
  return new PullError("signature", `GPG signature: ${why}`, { cause });
}
