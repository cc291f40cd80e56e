import type { IncomingMessage, Server, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

import { RestError } from "./error.ts";
import { failure, MAX_BODY, type RestReply, type RestRequest } from "./reply.ts";

// An import statement would look at every export of node:http, its WebSocket included, and so load all of undici.
const http = process.getBuiltinModule("node:http");

/** Connections of all containers together; each holds some kilobytes. */
const MAX_CONNECTIONS = 256;
/** For a request to arrive: the peer is on this machine. */
const REQUEST_TIMEOUT_MS = 10_000;
/** An idle connection; upstream's clients keep theirs. */
const KEEP_ALIVE_MS = 60_000;

export interface HttpServerOptions {
  readonly host: string;
  readonly port: number;
  readonly reply: (request: RestRequest) => Promise<RestReply>;
}

export interface RestServer {
  readonly host: string;
  readonly port: number;
  close(): Promise<void>;
}

/** Speaks HTTP with peers on loopback; all others are refused. */
export async function serveHttp({ host, port, reply }: HttpServerOptions): Promise<RestServer> {
  const server = http.createServer(
    {
      keepAliveTimeout: KEEP_ALIVE_MS,
      headersTimeout: REQUEST_TIMEOUT_MS,
      requestTimeout: REQUEST_TIMEOUT_MS,
      // Upstream's server takes a request without one.
      requireHostHeader: false,
    },
    (incoming, response) => {
      void answer(incoming, response, reply);
    },
  );
  server.maxConnections = MAX_CONNECTIONS;
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
): Promise<void> {
  const gone = new AbortController();
  response.once("close", () => gone.abort());
  if (!isLoopback(incoming.socket.remoteAddress)) return send(response, failure(403, "Forbidden"));
  const [path = "", query = ""] = (incoming.url ?? "").split(/\?(.*)/su);
  send(
    response,
    await reply({
      method: incoming.method ?? "",
      path,
      query: new URLSearchParams(query),
      body: () => bodyOf(incoming),
      signal: gone.signal,
    }),
  );
}

function send(response: ServerResponse, { status, type, body }: RestReply): void {
  response.statusCode = status;
  response.setHeader("content-length", body.length);
  if (type !== undefined) response.setHeader("content-type", type);
  // Upstream's replies have none; HTTP/1.1 keeps connections anyway.
  response.removeHeader("connection");
  // It may be a key.
  response.once("close", () => body.fill(0));
  response.end(body);
}

export function isLoopback(address: string | undefined): boolean {
  return address !== undefined && (address === "::1" || /^(?:::ffff:)?127\./u.test(address));
}

async function bodyOf(incoming: IncomingMessage): Promise<Buffer> {
  const parts: Buffer[] = [];
  let length = 0;
  for await (const part of incoming) {
    length += (part as Buffer).length;
    if (length > MAX_BODY) {
      throw new RestError("request", `Illegal AAEL eventry format: expected at most ${MAX_BODY} bytes`);
    }
    parts.push(part as Buffer);
  }
  return Buffer.concat(parts);
}

async function listening(server: Server, host: string, port: number): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen({ host, port }, resolve);
  });
}
