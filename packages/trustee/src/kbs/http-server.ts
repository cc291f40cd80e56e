import { createServer, type IncomingMessage, type RequestListener, type Server, type ServerResponse } from "node:http";
import { createServer as createTlsServer, type ServerOptions } from "node:https";
import type { AddressInfo } from "node:net";

import { TrusteeError } from "../error.ts";
import type { Kbs } from "./kbs.ts";
import type { Metrics } from "./metrics.ts";
import type { KbsReply } from "./request.ts";

/** Bytes of a request's head: a token that repeats an event log does not fit, as with upstream. */
const MAX_HEAD: number = 128 * 1024;
/** Milliseconds that a client may take to send its head, and the whole request. */
const HEAD_MS = 30_000;
const REQUEST_MS = 120_000;
const MAX_CONNECTIONS = 4096;
/** Milliseconds that requests under way have when the server ends. */
const CLOSE_GRACE_MS = 2_000;

export interface HttpOptions {
  readonly host: string;
  readonly port: number;
  /** Bytes. */
  readonly maxBody: number;
  /** Absent: no TLS. */
  readonly tls?: ServerOptions;
}

export interface RunningServer {
  readonly host: string;
  readonly port: number;
  close(): Promise<void>;
}

/** Serves the broker over HTTP or HTTPS; resolves once it listens. Rejects with `config`. */
export async function serveKbs(kbs: Kbs, metrics: Metrics, options: HttpOptions): Promise<RunningServer> {
  const listener: RequestListener = (request, response) =>
    void answer(kbs, metrics, options.maxBody, request, response);
  const limits = { maxHeaderSize: MAX_HEAD, headersTimeout: HEAD_MS, requestTimeout: REQUEST_MS };
  const server: Server =
    options.tls === undefined
      ? createServer(limits, listener)
      : createTlsServer({ ...limits, ...options.tls }, listener);
  server.maxConnections = MAX_CONNECTIONS;
  await new Promise<void>((resolve, reject) => {
    server.once("error", (cause) =>
      reject(new TrusteeError("config", `${options.host}:${options.port}: cannot listen`, { cause })),
    );
    server.listen({ host: options.host, port: options.port }, resolve);
  });
  const { port, address } = server.address() as AddressInfo;
  const close = (): Promise<void> =>
    new Promise((resolve) => {
      // Whoever only connected, or stopped in the middle, does not hold up the end.
      const grace = setTimeout(() => server.closeAllConnections(), CLOSE_GRACE_MS);
      server.close(() => {
        clearTimeout(grace);
        resolve();
      });
      server.closeIdleConnections();
    });
  return { host: address, port, close };
}

async function answer(
  kbs: Kbs,
  metrics: Metrics,
  maxBody: number,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const start = performance.now();
  metrics.active++;
  metrics.count("kbs_http_requests_total");
  response.once("close", () => metrics.active--);
  try {
    const body = await readBody(request, maxBody);
    metrics.observe("kbs_http_request_size_bytes", body?.length ?? 0);
    const { method = "", url: target = "", headers } = request;
    const reply =
      body === undefined
        ? TOO_LARGE
        : await kbs.handle({ method, target, authorization: headers.authorization, cookie: headers.cookie, body });
    send(request, response, reply);
    metrics.observe("kbs_http_response_size_bytes", Buffer.byteLength(reply.body));
  } catch {
    // The client went away, or broke off in its body.
    response.destroy();
  } finally {
    metrics.observe("kbs_http_request_duration_seconds", (performance.now() - start) / 1000);
  }
}

const TOO_LARGE: KbsReply = {
  status: 413,
  headers: { "content-type": "text/plain; charset=utf-8", connection: "close" },
  body: "payload reached size limit",
};

/** The body, or undefined once it is too large: the rest is not read. */
export async function readBody(request: IncomingMessage, maximum: number): Promise<Buffer | undefined> {
  if (Number(request.headers["content-length"] ?? 0) > maximum) return undefined;
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length > maximum) return undefined;
    chunks.push(chunk);
  }
  return chunks.length === 1 && chunks[0] !== undefined ? chunks[0] : Buffer.concat(chunks);
}

function send(request: IncomingMessage, response: ServerResponse, { status, headers, body }: KbsReply): void {
  const length = Buffer.byteLength(body);
  response.writeHead(status, { ...headers, "content-length": length });
  response.end(request.method === "HEAD" ? undefined : body);
}
