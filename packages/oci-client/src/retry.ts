import { OciError } from "./error.ts";
import type { Clock } from "./http.ts";

/** How often and how long to try again after a fault of the environment. */
export interface RetryPolicy {
  /** Attempts in a row without a byte of progress. */
  readonly attempts: number;
  /** The first pause, in milliseconds; each further one is twice as long. */
  readonly firstPauseMs: number;
  readonly longestPauseMs: number;
}

/** Five attempts within about eight seconds ride out a registry's restart; longer waits are the kubelet's business. */
export const DEFAULT_RETRY: RetryPolicy = { attempts: 5, firstPauseMs: 250, longestPauseMs: 30_000 };

/** A connection that breaks more often than this in one blob is not worth resuming, whatever progress each one makes. */
const MAX_BREAKS = 50;

/** Counts the attempts of one operation and waits between them. */
export class Attempts {
  readonly #policy: RetryPolicy;
  readonly #clock: Clock;
  readonly #signal: AbortSignal | undefined;
  #failed = 0;
  #breaks = 0;

  constructor(policy: RetryPolicy, clock: Clock, signal: AbortSignal | undefined) {
    this.#policy = policy;
    this.#clock = clock;
    this.#signal = signal;
  }

  /** The operation got further: only failures without progress count towards giving up. */
  progressed(): void {
    this.#failed = 0;
  }

  /** Waits until the next attempt is due. @throws the failure itself when there is no further one. */
  async next(failure: unknown): Promise<void> {
    this.#signal?.throwIfAborted();
    this.#failed += 1;
    this.#breaks += 1;
    const transient = failure instanceof OciError && failure.transient;
    if (!transient || this.#failed >= this.#policy.attempts || this.#breaks > MAX_BREAKS) throw failure;
    const pause = failure.retryAfterMs ?? this.#policy.firstPauseMs * 2 ** (this.#failed - 1);
    await this.#clock.sleep(Math.min(pause, this.#policy.longestPauseMs), this.#signal);
  }
}

/** The milliseconds of a `Retry-After` header, in seconds or as a date. */
export function parseRetryAfter(header: string | undefined, now: number): number | undefined {
  if (header === undefined) return undefined;
  if (/^[0-9]{1,9}$/.test(header)) return Number(header) * 1000;
  const date = Date.parse(header);
  return Number.isNaN(date) ? undefined : Math.max(0, date - now);
}
