import type { Agent as HttpAgent, ClientRequest, IncomingMessage } from "node:http";
import type { Agent as HttpsAgent } from "node:https";

import { type KbsHttp, KbsProtocolError, type KbsReply, type KbsRequest } from "@nacre/kbs-protocol";

// An import statement would look at every export of node:http, its WebSocket included, and so load all of undici: forty
// milliseconds and some megabytes for nothing.
const http = process.getBuiltinModule("node:http");
const https = process.getBuiltinModule("node:https");

/** A request, from its first byte to its reply's last (upstream's client gives up after as long). */
const TIMEOUT_MS = 60_000;
/** How OpenSSL's refusals of a certificate, and Node's of its name, begin. */
const UNTRUSTED =
  /^(?:CERT_|DEPTH_ZERO_|ERR_TLS_CERT_|HOSTNAME_|INVALID_(?:CA|PURPOSE)|PATH_LENGTH_|SELF_SIGNED_|UNABLE_TO_(?:GET|VERIFY|DECRYPT))/u;
/** Shorter than the idle time after which brokers close a connection (5 s). */
const KEEP_ALIVE_MS = 4000;

export interface NodeKbsHttpOptions {
  /** PEM certificates of authorities. */
  readonly roots?: readonly string[];
  /** Whether only `roots` count; otherwise they add to the platform's. Default: no, as upstream. */
  readonly pin?: boolean;
  /** `HTTP_PROXY`, `HTTPS_PROXY`, `NO_PROXY`, as {@link proxiesOf} picks them. Default: none. */
  readonly proxies?: Readonly<Record<string, string>> | undefined;
  readonly timeoutMs?: number;
  /** Connections at one time; more requests wait. Default: as many as there are requests. */
  readonly maxConnections?: number;
}

/** A broker over Node's own client; one connection is kept for what follows. */
export class NodeKbsHttp implements KbsHttp {
  readonly #http: HttpAgent;
  readonly #https: HttpsAgent;
  readonly #timeoutMs: number;

  /** Throws KbsProtocolError `unsupported` for a pin without roots. */
  constructor(options: NodeKbsHttpOptions = {}) {
    const { roots = [], pin = false, proxies, maxConnections = Infinity } = options;
    if (pin && roots.length === 0) throw new KbsProtocolError("unsupported", "broker: expected a certificate to pin");
    const keep = {
      keepAlive: true,
      timeout: KEEP_ALIVE_MS,
      maxSockets: maxConnections,
      ...(proxies === undefined ? {} : { proxyEnv: proxies }),
    };
    this.#http = new http.Agent(keep);
    this.#https = new https.Agent({ ...keep, minVersion: "TLSv1.2", ...authorities(roots, pin) });
    this.#timeoutMs = options.timeoutMs ?? TIMEOUT_MS;
  }

  async send(request: KbsRequest): Promise<KbsReply> {
    const url = parseUrl(request.url);
    // A connection that the broker closed while it was idle says nothing about the broker; what is sent may be sent twice.
    for (;;) {
      const attempt = { unheard: false };
      try {
        return await this.#sendOnce(url, request, attempt);
      } catch (error) {
        if (!attempt.unheard || request.signal?.aborted === true) throw error;
      }
    }
  }

  close(): void {
    this.#http.destroy();
    this.#https.destroy();
  }

  async #sendOnce(url: URL, request: KbsRequest, attempt: { unheard: boolean }): Promise<KbsReply> {
    request.signal?.throwIfAborted();
    const timeout = AbortSignal.timeout(this.#timeoutMs);
    const signal = request.signal === undefined ? timeout : AbortSignal.any([timeout, request.signal]);
    const body = request.body === undefined ? undefined : Buffer.from(request.body);
    const options = {
      method: request.method,
      signal,
      headers: { ...request.headers, ...(body === undefined ? {} : { "content-length": String(body.length) }) },
    };
    const outgoing =
      url.protocol === "https:"
        ? https.request(url, { ...options, agent: this.#https })
        : http.request(url, { ...options, agent: this.#http });
    let answered = false;
    try {
      const response = await head(outgoing, body);
      answered = true;
      return {
        status: response.statusCode ?? 0,
        cookies: response.headers["set-cookie"] ?? [],
        body: await text(response, request.maxBody),
      };
    } catch (error) {
      outgoing.destroy();
      if (error instanceof KbsProtocolError) throw error;
      request.signal?.throwIfAborted();
      const dropped = ["ECONNRESET", "EPIPE"].includes((error as NodeJS.ErrnoException).code ?? "");
      attempt.unheard = outgoing.reusedSocket && dropped && !answered && !timeout.aborted;
      const why = timeout.aborted ? `no reply within ${this.#timeoutMs} ms` : (error as Error).message;
      // Whoever shows another's certificate, or none that counts, does so again.
      const code = UNTRUSTED.test((error as NodeJS.ErrnoException).code ?? "") ? "peer" : "network";
      throw new KbsProtocolError(code, `${request.method} ${url.protocol}//${url.host}: ${why}`, { cause: error });
    }
  }
}

/** What an environment says of proxies; undefined where it says nothing. */
export function proxiesOf(
  env: Readonly<Record<string, string | undefined>>,
): Readonly<Record<string, string>> | undefined {
  const found = ["HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"].flatMap((name) => {
    const value = env[name.toLowerCase()] ?? env[name];
    return value === undefined || value === "" ? [] : [[name, value] as const];
  });
  return found.some(([name]) => name !== "NO_PROXY") ? Object.fromEntries(found) : undefined;
}

/** Giving authorities replaces the platform's, and parsing those takes time: only when there is something to say. */
function authorities(roots: readonly string[], pin: boolean): { readonly ca?: string[] } {
  if (roots.length === 0) return {};
  const others = pin ? [] : process.getBuiltinModule("node:tls").getCACertificates("default");
  return { ca: [...others, ...roots] };
}

function parseUrl(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url?.protocol !== "http:" && url?.protocol !== "https:") {
    throw new KbsProtocolError("unsupported", "broker: expected a URL http://… or https://…");
  }
  return url;
}

async function head(outgoing: ClientRequest, body: Buffer | undefined): Promise<IncomingMessage> {
  return await new Promise((resolve, reject) => {
    outgoing.once("response", resolve);
    outgoing.on("error", reject);
    // An answer that switches protocols ends the request without a response and without an error.
    outgoing.once("close", () => reject(new Error("the connection was closed without a response")));
    outgoing.end(body);
  });
}

async function text(response: IncomingMessage, max: number): Promise<string> {
  const parts: Buffer[] = [];
  let length = 0;
  for await (const part of response) {
    length += (part as Buffer).length;
    if (length > max) throw new KbsProtocolError("too-long", `broker's reply: expected at most ${max} bytes`);
    parts.push(part as Buffer);
  }
  return Buffer.concat(parts).toString("utf8");
}
