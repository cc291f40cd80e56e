import { KbsProtocolError } from "../error.ts";
import type { KbsClock } from "./ports.ts";

/** Tries in all; upstream's client makes as many. */
export const MAX_TRIES = 5;
/** Pause before the second try; each further one is twice as long: 3.75 s in all. */
const FIRST_PAUSE_MS = 250;

/**
 * Tries again where the broker was not reached, and only there: what it refused once it refuses again, at the price of
 * an attestation each time. Rejects with the last try's error, or the signal's reason.
 */
export async function withRetries<T>(
  clock: KbsClock,
  signal: AbortSignal | undefined,
  operation: () => Promise<T>,
): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      signal?.throwIfAborted();
      return await operation();
    } catch (error) {
      const environment = error instanceof KbsProtocolError && error.code === "network";
      if (!environment || tries === MAX_TRIES) throw error;
      await clock.sleep(FIRST_PAUSE_MS * 2 ** (tries - 1), signal);
    }
  }
}
