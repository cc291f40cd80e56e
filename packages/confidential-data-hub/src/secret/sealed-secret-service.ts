import type { ComponentLog, SealedSecretService } from "@nacre/protocols";
import type { Handlers } from "@nacre/ttrpc";

import { failure, failureText } from "../answer.ts";
import type { Unsealer } from "./unsealer.ts";

/** The SealedSecretService; what unseals is loaded with the first secret. */
export function sealedSecretService(
  load: () => Promise<Pick<Unsealer, "unseal">>,
  log: ComponentLog,
): Handlers<typeof SealedSecretService> {
  return {
    async UnsealSecret({ secret }, context) {
      log("info", "unsealing a secret");
      try {
        const unsealer = await load();
        const plaintext = await unsealer.unseal(secret, context.signal);
        context.zeroAfter(plaintext);
        return { plaintext };
      } catch (error) {
        throw failure(log, failureText("Unseal Secret failed", error), error);
      }
    },
  };
}
