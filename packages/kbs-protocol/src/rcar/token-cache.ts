import type { KbsClock } from "./ports.ts";
import { tokenLifetime } from "./token-lifetime.ts";

/** A token is made anew ahead of its end: a fifth of its life before, but no more than a minute. */
const REFRESH_SHARE = 5;
const MAX_REFRESH_MS = 60_000;
/** What is handed out must last for the request that it is for. */
const MIN_LEFT_MS = 10_000;
/** Nothing is kept longer, whatever it says of itself. */
const MAX_LIFE_MS: number = 24 * 3_600_000;

export interface TokenCacheOptions<T> {
  /** Makes a new token; its own bounds end it, not those of whoever asked first. */
  readonly load: () => Promise<T>;
  readonly tokenOf: (value: T) => string;
  readonly clock: Pick<KbsClock, "monotonic">;
  /** Told of a refresh ahead of time that failed; the token at hand is still good. */
  readonly onRefreshError?: (error: unknown) => void;
}

interface Kept<T> {
  readonly value: T;
  /** By the monotonic clock. */
  readonly until: number;
  readonly refreshFrom: number;
}

/**
 * One token with its key, until shortly before it expires. Many who ask at once share one handshake. Age is counted from
 * its arrival by a clock that the host cannot set, over the life that the token itself names.
 */
export class TokenCache<T> {
  readonly #options: TokenCacheOptions<T>;
  #kept: Kept<T> | undefined;
  #loading: Promise<T> | undefined;
  #generation = 0;

  constructor(options: TokenCacheOptions<T>) {
    this.#options = options;
  }

  /** With `fresh` a token that is yet to come, whatever is kept. Rejects with what `load` rejects with. */
  async get(options: { readonly fresh?: boolean } = {}): Promise<T> {
    if (options.fresh === true) this.#kept = undefined;
    const kept = this.#kept;
    const now = this.#options.clock.monotonic();
    if (kept === undefined || kept.until - now < MIN_LEFT_MS) return await (this.#loading ??= this.#load());
    if (now >= kept.refreshFrom) {
      this.#loading ??= this.#load();
      this.#loading.catch((error: unknown) => this.#options.onRefreshError?.(error));
    }
    return kept.value;
  }

  /** Forgets the token, and that of a handshake under way: what they say of the guest is no longer so. */
  clear(): void {
    this.#kept = undefined;
    this.#loading = undefined;
    this.#generation += 1;
  }

  async #load(): Promise<T> {
    const generation = this.#generation;
    try {
      const value = await this.#options.load();
      if (generation === this.#generation) this.#keep(value);
      return value;
    } finally {
      if (generation === this.#generation) this.#loading = undefined;
    }
  }

  #keep(value: T): void {
    const life = Math.min(tokenLifetime(this.#options.tokenOf(value)) ?? 0, MAX_LIFE_MS);
    const until = this.#options.clock.monotonic() + life;
    const ahead = Math.min(life / REFRESH_SHARE, MAX_REFRESH_MS);
    this.#kept = life <= 0 ? undefined : { value, until, refreshFrom: until - ahead };
  }
}
