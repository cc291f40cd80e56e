import type { Authenticator } from "./auth.ts";
import { readAll } from "./body.ts";
import { isObject, parseJsonObject } from "./document.ts";
import { OciError } from "./error.ts";
import type { Clock, Http, HttpResponse } from "./http.ts";
import { parseRetryAfter } from "./retry.ts";

/** As many as browsers and reqwest follow. */
const MAX_REDIRECTS = 10;
const REDIRECTS: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);
/** Enough of an error document to find its text. */
const MAX_ERROR_DOCUMENT = 64 * 1024;
const MAX_ERROR_TEXT = 500;

/** One authorised request to a registry, redirects followed, failures as OciError. Not tried again: see Attempts. */
export class Transfer {
  readonly #http: Http;
  readonly #clock: Clock;
  readonly #auth: Authenticator;

  constructor(http: Http, clock: Clock, auth: Authenticator) {
    this.#http = http;
    this.#clock = clock;
    this.#auth = auth;
  }

  /**
   * GETs `url` and returns the response when its status is one of `accepted`.
   *
   * @throws OciError `unauthorized`, `not-found`, `busy` (429, 5xx), `registry` (any other), `redirect`, `network`.
   */
  async get(
    url: URL,
    headers: Readonly<Record<string, string>>,
    accepted: readonly number[],
    signal?: AbortSignal,
  ): Promise<HttpResponse> {
    let authorization = await this.#auth.header(signal);
    let { response, own } = await this.#follow(url, headers, authorization, signal);
    // Whoever the registry sends us to may not ask for the registry's credentials.
    if (response.status === 401 && own) {
      const challenge = response.headers["www-authenticate"];
      const better =
        challenge === undefined ? undefined : await this.#auth.answer(challenge, url, authorization, signal);
      if (better !== undefined) {
        response.discard();
        authorization = better;
        ({ response, own } = await this.#follow(url, headers, authorization, signal));
      }
    }
    if (accepted.includes(response.status)) return response;
    throw await this.#failure(url, response);
  }

  /** The last response, and whether it and all before it are the registry's `own`. */
  async #follow(
    start: URL,
    headers: Readonly<Record<string, string>>,
    authorization: string | undefined,
    signal: AbortSignal | undefined,
  ): Promise<{ response: HttpResponse; own: boolean }> {
    let url = start;
    let own = true;
    for (let hops = 0; hops <= MAX_REDIRECTS; hops += 1) {
      // Blobs are usually handed to a store that must not see the registry's credentials, nor choose where they go next.
      own &&= url.origin === start.origin;
      const response = await this.#http.send({
        method: "GET",
        url,
        headers: own && authorization !== undefined ? { ...headers, authorization } : headers,
        ...(signal === undefined ? {} : { signal }),
      });
      if (!REDIRECTS.has(response.status)) return { response, own };
      response.discard();
      url = redirectTarget(url, response.headers["location"]);
    }
    throw new OciError("redirect", `more than ${MAX_REDIRECTS} redirects from ${start.href}`);
  }

  async #failure(url: URL, response: HttpResponse): Promise<OciError> {
    const { status } = response;
    const said = await errorText(response);
    if (status === 401 || status === 403) {
      return new OciError("unauthorized", `Not authorized: url ${url.href}${said === "" ? "" : ` (${said})`}`);
    }
    if (status === 429 || status >= 500) {
      const retryAfterMs = parseRetryAfter(response.headers["retry-after"], this.#clock.now());
      return new OciError(
        "busy",
        `Server error: url ${url.href}, code: ${status}, message: ${said}`,
        retryAfterMs === undefined ? {} : { retryAfterMs },
      );
    }
    const code = status === 404 ? "not-found" : "registry";
    return new OciError(code, `Registry error: url ${url.href}, envelope: ${said === "" ? `status ${status}` : said}`);
  }
}

/** @throws OciError `redirect` when the target is missing, of another scheme, or gives up TLS. */
function redirectTarget(from: URL, location: string | undefined): URL {
  if (location === undefined || !URL.canParse(location, from.href)) {
    throw new OciError("redirect", `redirect from ${from.origin}${from.pathname} without a usable location`);
  }
  const target = new URL(location, from);
  const safe = target.protocol === "https:" || (target.protocol === "http:" && from.protocol === "http:");
  if (!safe) {
    throw new OciError("redirect", `redirect from ${from.origin} to ${target.protocol}//${target.host} refused`);
  }
  return target;
}

/** What an error document says (distribution-spec, "Error Codes"), or the start of any other short text. */
async function errorText(response: HttpResponse): Promise<string> {
  let bytes: Buffer;
  try {
    bytes = await readAll("error document", response.body, MAX_ERROR_DOCUMENT);
  } catch (error) {
    // The status is what counts; a broken or endless error page must not hide it. A cancelled pull is another matter.
    if (!(error instanceof OciError)) throw error;
    response.discard();
    return "";
  }
  try {
    const errors = parseJsonObject("error document", bytes)["errors"];
    if (Array.isArray(errors)) {
      const texts = errors
        .filter(isObject)
        .map((entry) => `OCI API error: ${printable(entry["message"] ?? entry["code"])}`);
      return `OCI API errors: [${texts.join(", ")}]`.slice(0, MAX_ERROR_TEXT);
    }
  } catch {
    // Not the documented form: proxies and load balancers answer in their own words.
  }
  return printable(bytes.toString("latin1"));
}

/** A peer's text, fit for one line of a log. */
function printable(value: unknown): string {
  return (typeof value === "string" ? value : "")
    .replaceAll(/[^\x20-\x7e]+/g, " ")
    .trim()
    .slice(0, MAX_ERROR_TEXT);
}
