import { abortable } from "../abortable.ts";
import type { Cookies } from "./cookies.ts";
import { handshake, type HandshakeOptions } from "./handshake.ts";
import type { KbsClock } from "./ports.ts";
import { withRetries } from "./retry.ts";
import { TeeKey, type TeeKeyAlgorithm } from "./tee-key.ts";
import { TokenCache } from "./token-cache.ts";

/** With what a resource is asked for, and what its reply is encrypted to. */
export interface KbsSession {
  readonly headers: Readonly<Record<string, string>>;
  readonly key: TeeKey;
}

/** Where sessions come from; `fresh` asks for one that is made now, because the broker did not take the last one. */
export interface SessionSource {
  session(fresh: boolean, signal?: AbortSignal): Promise<KbsSession>;
}

export interface AttestOptions extends Omit<HandshakeOptions, "key" | "signal"> {
  readonly algorithm?: TeeKeyAlgorithm;
  readonly clock: KbsClock;
}

/** A handshake with a new key, again where the broker is not reached. Rejects as {@link handshake} does. */
export async function attest(options: AttestOptions, signal?: AbortSignal): Promise<AttestedToken> {
  const key = await TeeKey.generate(options.algorithm);
  return await withRetries(options.clock, signal, () => handshake({ ...options, key, signal }));
}

export interface AttestedToken {
  readonly token: string;
  readonly key: TeeKey;
  readonly cookies: Cookies;
}

/** Background check: the broker keeps the token and knows the session by its cookie. */
export function cookieSessions(options: AttestOptions, deadlineMs: number): SessionSource {
  const cache = new TokenCache<AttestedToken>({
    load: () => attest(options, AbortSignal.timeout(deadlineMs)),
    tokenOf: ({ token }) => token,
    clock: options.clock,
  });
  return {
    async session(fresh, signal) {
      const { cookies, key } = await abortable(cache.get({ fresh }), signal);
      return { headers: cookies.headers, key };
    },
  };
}

/** Passport: whoever has the token and its key shows the token. */
export function bearerSessions(
  token: (fresh: boolean, signal?: AbortSignal) => Promise<{ readonly token: string; readonly key: TeeKey }>,
): SessionSource {
  return {
    async session(fresh, signal) {
      const { token: text, key } = await token(fresh, signal);
      return { headers: { authorization: `Bearer ${text}` }, key };
    },
  };
}
