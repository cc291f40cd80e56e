import type { Agent as HttpAgent, ClientRequest, IncomingMessage } from "node:http";
import type { Agent as HttpsAgent } from "node:https";
import { type Clock, type Http, type HttpRequest, type HttpResponse, OciError } from "oci-client";
import { releaseMemory } from "./release-memory.ts";
import { setTimeout as sleep } from "node:timers/promises";

// An import statement would look at every export of node:http, its WebSocket included, and so load all of undici: forty
// milliseconds and some megabytes for nothing.
const http = process.getBuiltinModule("node:http");
const https = process.getBuiltinModule("node:https");

/** A registry that sends nothing for this long is given up; blobs from slow stores pause for seconds. */
const DEFAULT_IDLE_MS = 60_000;
/** How long an unused connection is kept for the next layer or container. */
const KEEP_ALIVE_MS = 15_000;

/** Answers to redirects and challenges are shorter. */
const SHORT_BODY = 16_384;

/** Where requests go through; each is a URL `http://[user:password@]host:port`. */
export interface ProxySettings {
  /** For requests over TLS, which the proxy only relays. */
  readonly https?: string | undefined;
  /** For plain requests. */
  readonly http?: string | undefined;
  /** Hosts that are asked directly, separated by commas. */
  readonly exceptions?: string | undefined;
}

export interface NodeHttpOptions {
  /** Default: none. The process's own environment is not looked at. */
  readonly proxy?: ProxySettings | undefined;
  /** PEM certificates of further authorities; they add to the platform's and the bundled ones. */
  readonly extraRoots?: readonly string[];
  /** Silence after which a request fails, in milliseconds. Default 60,000. */
  readonly idleTimeoutMs?: number;
}

/** The network over Node's own client: connections are kept, bodies are streamed, redirects left to the caller. */
export class NodeHttp implements Http {
  readonly #http: HttpAgent;
  readonly #https: HttpsAgent;
  readonly #idleMs: number;

  constructor(options: NodeHttpOptions = {}) {
    const { proxy } = options;
    const proxyEnv = { HTTPS_PROXY: proxy?.https, HTTP_PROXY: proxy?.http, NO_PROXY: proxy?.exceptions };
    const keep = { keepAlive: true, timeout: KEEP_ALIVE_MS, ...(proxy === undefined ? {} : { proxyEnv }) };
    this.#http = new http.Agent(keep);
    const extra = options.extraRoots ?? [];
    // Passing `ca` replaces the default roots, and parsing those takes time: only when there is something to add.
    this.#https = new https.Agent(
      extra.length === 0
        ? keep
        : { ...keep, ca: [...process.getBuiltinModule("node:tls").getCACertificates("default"), ...extra] },
    );
    this.#idleMs = options.idleTimeoutMs ?? DEFAULT_IDLE_MS;
  }

  async send(request: HttpRequest): Promise<HttpResponse> {
    const { url, signal } = request;
    signal?.throwIfAborted();
    const options = { method: request.method, headers: request.headers };
    const outgoing =
      url.protocol === "https:"
        ? https.request(url, { ...options, agent: this.#https })
        : http.request(url, { ...options, agent: this.#http });
    const failed = (error: unknown): unknown => {
      if (signal?.aborted === true) return signal.reason;
      return error instanceof OciError ? error : networkError(url, error);
    };
    const onAbort = (): void => void outgoing.destroy();
    signal?.addEventListener("abort", onAbort, { once: true });
    const done = (): void => signal?.removeEventListener("abort", onAbort);
    try {
      const response = await head(outgoing, url, this.#idleMs);
      response.once("close", done);
      return {
        status: response.statusCode ?? 0,
        headers: flatten(response),
        body: body(response, failed),
        discard: () => {
          response.on("error", () => undefined);
          // A short rest is cheaper to read than a new connection to make.
          if (Number(response.headers["content-length"] ?? Infinity) <= SHORT_BODY) response.resume();
          else response.destroy();
        },
      };
    } catch (error) {
      done();
      throw failed(error);
    }
  }

  /** Closes all connections. */
  close(): void {
    this.#http.destroy();
    this.#https.destroy();
  }
}

/** The clock of the machine. */
export const systemClock: Clock = {
  now: () => Date.now(),
  sleep: async (ms, signal) => {
    await sleep(ms, undefined, signal === undefined ? {} : { signal }).catch((error: unknown) => {
      throw signal?.aborted === true ? signal.reason : error;
    });
  },
};

async function head(outgoing: ClientRequest, url: URL, idleMs: number): Promise<IncomingMessage> {
  return await new Promise((resolve, reject) => {
    outgoing.once("response", resolve);
    outgoing.on("error", reject);
    // An answer that switches protocols (101) ends the request without a response and without an error.
    outgoing.once("close", () => reject(new Error("the connection was closed without a response")));
    outgoing.setTimeout(idleMs, () => {
      outgoing.destroy(new OciError("timeout", `no data from ${url.host} for ${idleMs} ms`));
    });
    outgoing.end();
  });
}

async function* body(response: IncomingMessage, failed: (error: unknown) => unknown): AsyncGenerator<Uint8Array> {
  try {
    for await (const chunk of response) {
      yield chunk as Uint8Array;
      releaseMemory(chunk as Uint8Array);
    }
  } catch (error) {
    throw failed(error);
  }
}

function flatten(response: IncomingMessage): Record<string, string | undefined> {
  return Object.fromEntries(
    Object.entries(response.headers).map(([name, value]) => [name, Array.isArray(value) ? value.join(", ") : value]),
  );
}

/** Without the query: stores that blobs are redirected to are paid with signatures there. */
function networkError({ protocol, host, pathname }: URL, cause: unknown): OciError {
  return new OciError("network", `error sending request for url (${protocol}//${host}${pathname})`, { cause });
}
