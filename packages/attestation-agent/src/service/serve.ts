import type { Socket } from "node:net";

import { type ComponentLog, AttestationAgentService, type MethodDescriptor } from "@nacre/protocols";
import { messageWithCauses, TtrpcServer } from "@nacre/ttrpc";
import { type Listener, listenSockets, socketTransport } from "@nacre/vsock";

import type { AttestationAgent } from "../attestation-agent.ts";
import type { GrpcMethod, GrpcServer } from "./grpc-server.ts";
import { agentHandlers, GRPC_SENTENCES, ttrpcHandlers } from "./handlers.ts";

/** HTTP/2's first byte ("PRI"); a ttRPC message that begins with it would have more than a gigabyte. */
const HTTP2 = 0x50;

export interface ServeOptions {
  readonly agent: AttestationAgent;
  readonly log: ComponentLog;
  readonly socket: string;
  /** `tcp://…`, for gRPC alone. */
  readonly grpcAddress: string | undefined;
  readonly loadGrpc: () => Promise<{ createGrpcServer(methods: readonly GrpcMethod[]): GrpcServer }>;
}

export interface Serving {
  readonly addresses: readonly string[];
  close(): Promise<void>;
}

/** Speaks ttRPC and gRPC on one socket: which of them, a connection's first byte tells. */
export async function serve({ agent, log, socket, grpcAddress, loadGrpc }: ServeOptions): Promise<Serving> {
  const ttrpc = new TtrpcServer({
    onError: (error, method) => log("error", `${method}: ${messageWithCauses(error)}`),
  }).addService(AttestationAgentService, ttrpcHandlers(agent, log));
  let grpc: Promise<GrpcServer> | undefined;
  const serveGrpc = (connection: Socket): void => {
    grpc ??= loadGrpc().then((module) => module.createGrpcServer(grpcMethods(agent, log)));
    grpc.then(
      (server) => server.serve(connection),
      (error: unknown) => {
        log("error", `gRPC: ${messageWithCauses(error)}`);
        connection.destroy();
      },
    );
  };
  const waiting = new Set<Socket>();
  const listeners: Listener[] = [
    await listenSockets(socket, (connection) => {
      waiting.add(connection);
      firstByte(connection, (byte) => {
        waiting.delete(connection);
        if (byte === HTTP2) serveGrpc(connection);
        else if (byte !== undefined) ttrpc.serve(socketTransport(connection));
      });
    }),
  ];
  if (grpcAddress !== undefined) listeners.push(await listenSockets(grpcAddress, serveGrpc));
  return {
    addresses: listeners.map(({ address }) => address),
    async close() {
      await Promise.all(listeners.map((listener) => listener.close()));
      for (const connection of waiting) connection.destroy();
      await ttrpc.close({ graceMs: 1000 });
      (await grpc)?.close();
    },
  };
}

/** Without taking it; undefined where the other side says nothing and goes. */
function firstByte(connection: Socket, found: (byte: number | undefined) => void): void {
  const settle = (byte: number | undefined): void => {
    connection.off("readable", look);
    connection.off("error", gone);
    connection.off("close", gone);
    if (byte === undefined) connection.destroy();
    found(byte);
  };
  const look = (): void => {
    const chunk = connection.read() as Buffer | null;
    if (chunk !== null) {
      connection.unshift(chunk);
      settle(chunk[0]);
    } else if (connection.readableEnded || connection.destroyed) settle(undefined);
  };
  const gone = (): void => settle(undefined);
  connection.on("readable", look);
  connection.once("error", gone);
  connection.once("close", gone);
  connection.once("end", () => {
    if (connection.listeners("readable").includes(look)) settle(undefined);
  });
}

function grpcMethods(agent: AttestationAgent, log: ComponentLog): GrpcMethod[] {
  const handlers = agentHandlers(agent, log, GRPC_SENTENCES) as unknown as Readonly<
    Record<string, (request: object, context: { signal: AbortSignal }) => Promise<object>>
  >;
  const methods: Readonly<Record<string, MethodDescriptor<object, object>>> = AttestationAgentService.methods;
  return Object.entries(methods).map(([name, method]) => ({
    path: method.path,
    answer: async (request, signal) => {
      const handler = handlers[name];
      if (handler === undefined) throw new Error(`${name}: expected a handler`);
      return method.encodeResponse(await handler(method.decodeRequest(request), { signal }));
    },
  }));
}
