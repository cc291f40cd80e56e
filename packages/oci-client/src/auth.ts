import { readAll } from "./body.ts";
import { type Challenge, parseChallenges } from "./challenge.ts";
import type { Credentials } from "./credentials.ts";
import { parseJsonObject } from "./document.ts";
import { OciError } from "./error.ts";
import type { Clock, Http } from "./http.ts";

/** A token answer is a few kilobytes; some carry large claim sets. */
const MAX_TOKEN_ANSWER = 1024 * 1024;
/** The token specification's default when the answer does not say. */
const DEFAULT_LIFETIME_S = 60;
/** A token is renewed this long before its end, so that it does not end on the way. */
const EARLY_MS = 5_000;

interface CachedToken {
  readonly header: string;
  readonly expires: number;
}

/**
 * The `Authorization` header for one repository of one registry: nothing until the registry asks, then what it asked
 * for (Basic, or a bearer token of the distribution token specification), kept until it ends or is refused.
 */
export class Authenticator {
  readonly #http: Http;
  readonly #clock: Clock;
  readonly #repository: string;
  readonly #credentials: Credentials | undefined;
  #basic: string | undefined;
  #challenge: Challenge | undefined;
  #token: CachedToken | undefined;
  #pending: Promise<string> | undefined;

  constructor(http: Http, clock: Clock, repository: string, credentials: Credentials | undefined) {
    this.#http = http;
    this.#clock = clock;
    this.#repository = repository;
    this.#credentials = credentials;
  }

  /** The header to send now, if any. */
  async header(signal?: AbortSignal): Promise<string | undefined> {
    if (this.#basic !== undefined) return this.#basic;
    if (this.#token !== undefined && this.#token.expires > this.#clock.now()) return this.#token.header;
    if (this.#challenge === undefined) return undefined;
    return await this.#fetchToken(this.#challenge, signal);
  }

  /**
   * The header that answers a 401, or undefined when there is nothing better than what was `sent`.
   *
   * @throws OciError `unauthorized` when the token server refuses, `registry` when the challenge makes no sense.
   */
  async answer(
    challengeHeader: string,
    url: URL,
    sent: string | undefined,
    signal?: AbortSignal,
  ): Promise<string | undefined> {
    const challenges = parseChallenges(challengeHeader);
    const bearer = challenges.find(({ scheme }) => scheme === "bearer");
    if (bearer !== undefined) {
      requireSafeRealm(bearer, url);
      // Another request may have renewed the token in the meantime.
      if (this.#token !== undefined && this.#token.header !== sent && this.#token.expires > this.#clock.now()) {
        return this.#token.header;
      }
      this.#challenge = bearer;
      this.#token = undefined;
      return await this.#fetchToken(bearer, signal);
    }
    const wantsBasic = challenges.some(({ scheme }) => scheme === "basic");
    const basic = wantsBasic && this.#credentials !== undefined ? basicHeader(this.#credentials) : undefined;
    if (basic === undefined || basic === sent) return undefined;
    this.#basic = basic;
    return basic;
  }

  /** One token request serves all that wait for it. */
  async #fetchToken(challenge: Challenge, signal: AbortSignal | undefined): Promise<string> {
    this.#pending ??= this.#requestToken(challenge, signal).finally(() => {
      this.#pending = undefined;
    });
    return await this.#pending;
  }

  async #requestToken(challenge: Challenge, signal: AbortSignal | undefined): Promise<string> {
    const url = new URL(challenge.parameters.get("realm") ?? "");
    const service = challenge.parameters.get("service");
    if (service !== undefined) url.searchParams.set("service", service);
    url.searchParams.append("scope", `repository:${this.#repository}:pull`);
    const response = await this.#http.send({
      method: "GET",
      url,
      headers: this.#credentials === undefined ? {} : { authorization: basicHeader(this.#credentials) },
      ...(signal === undefined ? {} : { signal }),
    });
    if (response.status !== 200) {
      response.discard();
      const code = response.status === 429 || response.status >= 500 ? "busy" : "unauthorized";
      const phrase = code === "busy" ? "Authentication failure" : "Not authorized";
      throw new OciError(code, `${phrase}: url ${url.origin}${url.pathname}: token server answered ${response.status}`);
    }
    const answer = parseJsonObject("token", await readAll("token", response.body, MAX_TOKEN_ANSWER));
    const token = [answer["token"], answer["access_token"]].find((value) => typeof value === "string" && value !== "");
    if (typeof token !== "string" || !/^[\x21-\x7e]+$/.test(token)) {
      throw new OciError("registry", `Authentication failure: no token in the answer of ${url.origin}${url.pathname}`);
    }
    const seconds = typeof answer["expires_in"] === "number" ? answer["expires_in"] : DEFAULT_LIFETIME_S;
    const header = `Bearer ${token}`;
    this.#token = { header, expires: this.#clock.now() + seconds * 1000 - EARLY_MS };
    return header;
  }
}

/** A registry behind TLS must not send its users' passwords to a server without it. */
function requireSafeRealm(challenge: Challenge, registry: URL): void {
  const realm = challenge.parameters.get("realm") ?? "";
  if (!URL.canParse(realm)) throw new OciError("registry", `Authentication failure: realm ${JSON.stringify(realm)}`);
  const { protocol } = new URL(realm);
  if (protocol !== "https:" && !(protocol === "http:" && registry.protocol === "http:")) {
    throw new OciError("registry", `Authentication failure: realm ${JSON.stringify(realm)} is not https`);
  }
}

function basicHeader({ username, password }: Credentials): string {
  return `Basic ${Buffer.from(`${username}:${password}`).toString("base64")}`;
}
