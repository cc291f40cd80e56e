import type { DataHub } from "../cdh.ts";
import { describeError, internalError } from "../error.ts";
import type { Logger } from "../log.ts";

/** What a sealed secret begins with. */
export const SEALED = "sealed.";

/** What happens to a container whose secrets cannot be opened: upstream only warns, and starts it with sealed text. */
export const UNSEAL_FAILURES = ["refuse", "warn"] as const;
export type UnsealFailure = (typeof UNSEAL_FAILURES)[number];

export interface UnsealingOptions {
  readonly hub: Pick<DataHub, "unseal">;
  readonly onFailure: UnsealFailure;
  readonly log: Logger;
}

/** Opens the sealed secrets of containers, by the data hub. */
export class Unsealing {
  readonly #options: UnsealingOptions;

  constructor(options: UnsealingOptions) {
    this.#options = options;
  }

  /**
   * The secret in a sealed text; undefined where that failed and the container starts all the same. `what` it is goes to
   * the host and the log. The caller zeroes it. Rejects with INTERNAL, or the signal's reason.
   */
  async open(what: string, sealed: Uint8Array, signal: AbortSignal): Promise<Buffer | undefined> {
    const { hub, onFailure, log } = this.#options;
    try {
      return await hub.unseal(sealed, signal);
    } catch (cause) {
      signal.throwIfAborted();
      if (onFailure === "refuse") throw internalError(`unsealing ${what}`, cause);
      log.warning("a secret stays sealed", { what, error: describeError(cause) });
      return undefined;
    }
  }
}
