import type { Socket } from "node:net";

import { Vsock } from "@nacre/kata-sys-util";
import type { TtrpcServer } from "@nacre/ttrpc";

import type { GrpcServer } from "./grpc-server.ts";
import { type Listener, listenSockets } from "./listen.ts";
import { socketTransport } from "./socket-transport.ts";

/** HTTP/2's first byte ("PRI"); a ttRPC message that begins with it would have more than a gigabyte. */
const HTTP2 = 0x50;
/** Time that calls in flight have when the server ends. */
const GRACE_MS = 1000;

export interface ServeRpcOptions {
  readonly ttrpc: TtrpcServer;
  /** A unix socket for both protocols. */
  readonly socket: string;
  /** Where the machine that the guest runs on may speak both, too: `vsock://…`, or a socket that leads there. */
  readonly hostAddress?: string | undefined;
  /** `tcp://…`, for gRPC alone. */
  readonly grpcAddress?: string | undefined;
  /** Makes the other server, for the first caller that speaks gRPC: its library is large. */
  readonly openGrpc: () => Promise<GrpcServer>;
  /** Told when that failed; the caller's connection is closed, and the next one tries again. */
  readonly onError: (error: unknown) => void;
  /** Told that the host's address could not be listened on; the server goes on without. */
  readonly onHostError?: (error: unknown) => void;
  /** Time in milliseconds that ttRPC calls in flight have at the end. Default a second. */
  readonly graceMs?: number;
}

export interface RpcServing {
  readonly addresses: readonly string[];
  close(): Promise<void>;
}

/** Speaks ttRPC and gRPC on one socket: which of them, a connection's first byte tells. */
export async function serveRpc(options: ServeRpcOptions): Promise<RpcServing> {
  const { ttrpc, socket, hostAddress, grpcAddress, openGrpc, onError, onHostError, graceMs = GRACE_MS } = options;
  let grpc: Promise<GrpcServer> | undefined;
  const serveGrpc = (connection: Socket): void => {
    grpc ??= openGrpc();
    grpc.then(
      (server) => server.serve(connection),
      (error: unknown) => {
        grpc = undefined;
        onError(error);
        connection.destroy();
      },
    );
  };
  const waiting = new Set<Socket>();
  const serveBoth = (connection: Socket): void => {
    waiting.add(connection);
    firstByte(connection, (byte) => {
      waiting.delete(connection);
      if (byte === HTTP2) serveGrpc(connection);
      else if (byte !== undefined) ttrpc.serve(socketTransport(connection));
    });
  };
  const listeners: Listener[] = [];
  try {
    // Before the socket, which tells whoever waits for it that all of this is there.
    if (hostAddress !== undefined) {
      const listening = listenSockets(hostAddress, serveBoth, { vsockPeers: isHost });
      await listening.then(
        (listener) => void listeners.push(listener),
        (error: unknown) => onHostError?.(error),
      );
    }
    if (grpcAddress !== undefined) listeners.push(await listenSockets(grpcAddress, serveGrpc));
    listeners.unshift(await listenSockets(socket, serveBoth));
  } catch (error) {
    await Promise.all(listeners.map((listener) => listener.close()));
    throw error;
  }
  return {
    addresses: listeners.map(({ address }) => address),
    async close() {
      await Promise.all(listeners.map((listener) => listener.close()));
      for (const connection of waiting) connection.destroy();
      await ttrpc.close({ graceMs });
      (await grpc)?.close();
    },
  };
}

/** Containers are inside, where a loopback leads here. */
function isHost(cid: number): boolean {
  return cid === Vsock.CID_HOST;
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
