import type { IncomingMessage, Server, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

import { Connections } from "./connections.ts";
import { failure, type RestReply, type RestRequest } from "./reply.ts";
import { RequestBody } from "./request-body.ts";

// An import statement would look at every export of node:http, its WebSocket included, and so load all of undici.
const http = process.getBuiltinModule("node:http");

/** Connections of all containers together; each holds some kilobytes. */
const MAX_CONNECTIONS = 256;
/** For a request to arrive, its body included: the peer is on this machine. */
const REQUEST_TIMEOUT_MS = 10_000;
/** How often within that time Node looks for requests that are late; of itself it does so twice a minute. */
const LOOKS = 2;
/** An idle connection; upstream's clients keep theirs. */
const KEEP_ALIVE_MS = 60_000;

export interface HttpServerOptions {
  readonly host: string;
  readonly port: number;
  readonly reply: (request: RestRequest) => Promise<RestReply>;
  /** For a request to arrive; half as long again until one that did not is ended. */
  readonly requestTimeoutMs?: number;
  readonly maxConnections?: number;
}

export interface RestServer {
  readonly host: string;
  readonly port: number;
  close(): Promise<void>;
}

/** Speaks HTTP with peers on loopback; all others are refused. */
export async function serveHttp(options: HttpServerOptions): Promise<RestServer> {
  const { host, port, reply, requestTimeoutMs = REQUEST_TIMEOUT_MS, maxConnections = MAX_CONNECTIONS } = options;
  const connections = new Connections(maxConnections);
  const server = http.createServer(
    {
      keepAliveTimeout: KEEP_ALIVE_MS,
      headersTimeout: requestTimeoutMs,
      requestTimeout: requestTimeoutMs,
      connectionsCheckingInterval: requestTimeoutMs / LOOKS,
      // Upstream's server takes a request without one.
      requireHostHeader: false,
    },
    (incoming, response) => {
      void answer(incoming, response, reply, connections);
    },
  );
  server.on("connection", (socket) => connections.add(socket));
  await listening(server, host, port);
  const address = server.address() as AddressInfo;
  return {
    host: address.address,
    port: address.port,
    close: async () => {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeAllConnections();
      await closed;
    },
  };
}

async function answer(
  incoming: IncomingMessage,
  response: ServerResponse,
  reply: HttpServerOptions["reply"],
  connections: Connections,
): Promise<void> {
  const gone = new AbortController();
  response.once("close", () => gone.abort());
  if (!isLoopback(incoming.socket.remoteAddress)) return send(response, failure(403, "Forbidden"));
  const [path = "", query = ""] = (incoming.url ?? "").split(/\?(.*)/su);
  const { socket } = incoming;
  const body = new RequestBody(incoming);
  connections.starts(socket);
  const made = await reply({
    method: incoming.method ?? "",
    path,
    query: new URLSearchParams(query),
    body: async () => {
      connections.ends(socket);
      try {
        return await body.read();
      } finally {
        connections.starts(socket);
      }
    },
    signal: gone.signal,
  });
  connections.ends(socket);
  if (body.tooLong) sendBeforeRest(response, made, body);
  else send(response, made);
}

function send(response: ServerResponse, reply: RestReply): void {
  setHeaders(response, reply);
  // Upstream's replies have none; HTTP/1.1 keeps connections anyway.
  response.removeHeader("connection");
  response.end(reply.body);
}

/**
 * The peer may still be sending: to close before all was read would reset the connection, and what was answered could be
 * lost. So the connection ends when the rest of the body was passed over, or when the request's time is up.
 */
function sendBeforeRest(response: ServerResponse, reply: RestReply, rest: RequestBody): void {
  setHeaders(response, reply);
  response.setHeader("connection", "close");
  response.write(reply.body);
  rest.onceOver(() => response.end());
}

function setHeaders(response: ServerResponse, { status, type, body }: RestReply): void {
  response.statusCode = status;
  response.setHeader("content-length", body.length);
  if (type !== undefined) response.setHeader("content-type", type);
  // It may be a key.
  response.once("close", () => body.fill(0));
}

export function isLoopback(address: string | undefined): boolean {
  return address !== undefined && (address === "::1" || /^(?:::ffff:)?127\./u.test(address));
}

async function listening(server: Server, host: string, port: number): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen({ host, port }, resolve);
  });
}
