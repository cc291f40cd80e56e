import { createServer, type RequestListener } from "node:http";
import { type AddressInfo, createServer as createNetServer, type Server as NetServer, type Socket } from "node:net";
import { Duplex } from "node:stream";

import {
  Server as GrpcServer,
  ServerCredentials,
  type ServiceDefinition,
  type UntypedServiceImplementation,
} from "@grpc/grpc-js";
import type { MethodDescriptor } from "@nacre/protocols";

import { errorText, TrusteeError } from "../error.ts";
import type { RunningServer } from "../kbs/http-server.ts";
import { boundRequests } from "./request-deadline.ts";

/** A method and what answers it. */
export interface ServedMethod {
  readonly path: string;
  readonly answer: (request: Uint8Array) => Promise<Uint8Array>;
}

export interface ServiceServerOptions {
  readonly host: string;
  readonly port: number;
  readonly methods: readonly ServedMethod[];
  /** What speaks HTTP/1 on the same port. */
  readonly http?: RequestListener;
  /** Milliseconds that a request of HTTP/1 may take to arrive; for tests. */
  readonly requestMs?: number;
  /** For tests. */
  readonly grpc?: Partial<GrpcLimits>;
  readonly log: (line: string) => void;
}

/** What a connection of gRPC may do. */
export interface GrpcLimits {
  /** Calls at a time; further ones wait at the client. */
  readonly streams: number;
  /** Milliseconds without a call after which it is told to go. */
  readonly idleMs: number;
  /** Milliseconds after which it is told to go, and those that calls under way have then: none is kept open for ever. */
  readonly ageMs: number;
  readonly graceMs: number;
}

/** A call has five minutes (upstream's clients give up then); a client that is told to go connects again by itself. */
const LIMITS: GrpcLimits = { streams: 100, idleMs: 5 * 60_000, ageMs: 10 * 60_000, graceMs: 5 * 60_000 };

/** Bytes of a message; evidence with an event log has one or two million. */
const MAX_MESSAGE: number = 16 * 1024 * 1024;
const MAX_CONNECTIONS = 4096;
/** Milliseconds that a connection may take to say which protocol it speaks. */
const FIRST_BYTES_MS = 30_000;
const REQUEST_MS = 120_000;
/** Upstream's one status for all that goes wrong. */
const ABORTED = 10;
const NOT_FOUND = 5;
/** How HTTP/2 begins; no method of HTTP/1 does. */
const PREFACE = Buffer.from("PRI * HTTP/2.0");
const HEALTH = "/grpc.health.v1.Health/Check";

/** The method with its messages decoded and encoded. */
export function served<Req, Res>(
  method: MethodDescriptor<Req, Res>,
  answer: (request: Req) => Promise<Parameters<MethodDescriptor<Req, Res>["encodeResponse"]>[0]>,
): ServedMethod {
  return {
    path: method.path,
    answer: async (bytes) => {
      let request: Req;
      try {
        request = method.decodeRequest(bytes);
      } catch (cause) {
        throw new TrusteeError("request", `${method.name}: expected ${method.requestType}`, { cause });
      }
      return method.encodeResponse(await answer(request));
    },
  };
}

/** Serves gRPC, with its health, and HTTP/1 on one port; resolves once it listens. Rejects with `config`. */
export async function serveServices(options: ServiceServerOptions): Promise<RunningServer> {
  const { host, port, log } = options;
  const { streams, idleMs, ageMs, graceMs } = { ...LIMITS, ...options.grpc };
  const grpc = new GrpcServer({
    "grpc.max_receive_message_length": MAX_MESSAGE,
    "grpc.max_concurrent_streams": streams,
    "grpc.max_connection_idle_ms": idleMs,
    "grpc.max_connection_age_ms": ageMs,
    "grpc.max_connection_age_grace_ms": graceMs,
  });
  addMethods(grpc, [...options.methods, health(options.methods)], log);
  const injector = grpc.createConnectionInjector(ServerCredentials.createInsecure());
  const http = createServer(options.http ?? ((_, response) => response.writeHead(404).end()));
  boundRequests(http, options.requestMs ?? REQUEST_MS);
  const open = new Set<Socket>();
  const server: NetServer = createNetServer((socket) => {
    open.add(socket);
    socket.once("close", () => open.delete(socket));
    socket.on("error", () => socket.destroy());
    socket.setTimeout(FIRST_BYTES_MS, () => socket.destroy());
    readPreface(socket, (isGrpc) => {
      socket.setTimeout(0);
      socket.removeAllListeners("timeout");
      if (isGrpc) injector.injectConnection(withoutHandle(socket));
      else http.emit("connection", socket);
    });
  });
  server.maxConnections = MAX_CONNECTIONS;
  await new Promise<void>((resolve, reject) => {
    server.once("error", (cause) => reject(new TrusteeError("config", `${host}:${port}: cannot listen`, { cause })));
    server.listen({ host, port }, resolve);
  });
  const { address, port: bound } = server.address() as AddressInfo;
  const close = async (): Promise<void> => {
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    injector.destroy();
    grpc.forceShutdown();
    for (const socket of open) socket.destroy();
    await closed;
  };
  return { host: address, port: bound, close };
}

/** Looks at as many bytes as tell the protocols apart, and puts them back. */
function readPreface(socket: Socket, decide: (isGrpc: boolean) => void): void {
  let seen: Buffer = Buffer.alloc(0);
  const read = (): void => {
    const chunk = socket.read() as Buffer | null;
    if (chunk === null) return;
    seen = Buffer.concat([seen, chunk]);
    const length = Math.min(seen.length, PREFACE.length);
    const alike = seen.subarray(0, length).equals(PREFACE.subarray(0, length));
    if (alike && length < PREFACE.length) return;
    socket.off("readable", read);
    socket.unshift(seen);
    decide(alike);
  };
  socket.on("readable", read);
}

/** HTTP/2 reads from a socket's own handle, past what was put back; a stream without one it reads as others do. */
function withoutHandle(socket: Socket): Duplex {
  return Duplex.from({ readable: socket, writable: socket });
}

function addMethods(server: GrpcServer, methods: readonly ServedMethod[], log: (line: string) => void): void {
  const definition: Record<string, ServiceDefinition[string]> = {};
  const implementation: UntypedServiceImplementation = {};
  for (const { path, answer } of methods) {
    const same = (bytes: Buffer): Buffer => bytes;
    definition[path] = {
      path,
      requestStream: false,
      responseStream: false,
      requestSerialize: same,
      requestDeserialize: same,
      responseSerialize: same,
      responseDeserialize: same,
    };
    implementation[path] = (call: UnaryCall, done: Done): void => {
      void answerCall({ path, answer }, call, done, log);
    };
  }
  server.addService(definition, implementation);
}

type Done = (error: object | null, bytes?: Buffer) => void;

interface UnaryCall {
  readonly request: Buffer;
}

async function answerCall(
  { path, answer }: ServedMethod,
  { request }: UnaryCall,
  done: Done,
  log: (line: string) => void,
): Promise<void> {
  try {
    done(null, Buffer.from(await answer(request)));
  } catch (error) {
    log(`${path}: ${errorText(error)}`);
    done({ code: error === UNKNOWN ? NOT_FOUND : ABORTED, details: errorText(error) });
  }
}

const UNKNOWN = new TrusteeError("request", "unknown service");

/** grpc.health.v1, which has one text in the request and one number in the reply. */
function health(methods: readonly ServedMethod[]): ServedMethod {
  const names = new Set(methods.map(({ path }) => path.split("/")[1] ?? ""));
  const known = ["", ...names].map((name) =>
    name === "" ? Buffer.alloc(0) : Buffer.concat([Buffer.of(0x0a, name.length), Buffer.from(name)]),
  );
  return {
    path: HEALTH,
    answer: (request) =>
      known.some((one) => one.equals(request)) ? Promise.resolve(Buffer.of(0x08, 1)) : Promise.reject(UNKNOWN),
  };
}
