import { chmodSync, lstatSync, unlinkSync } from "node:fs";
import { once } from "node:events";
import { type AddressInfo, createServer, type ListenOptions, type Socket } from "node:net";
import type { Transport } from "@nacre/ttrpc";
import { type Address, formatAddress, noTcp, parseAddress, socketPath } from "./address.ts";
import { dialSocket } from "./dial.ts";
import { VsockError } from "./error.ts";
import { socketTransport } from "./socket-transport.ts";
import { listenVsock, type VsockCalls, type VsockPeers } from "./vsock-socket.ts";

/** As in address.ts. */
declare const NACRE_FLAVOUR: string | undefined;

/** Something that listens. */
export interface Listener {
  /** Where, with the port that the kernel chose. */
  readonly address: string;
  /** Takes no more connections and removes the socket file; connections that are open go on. */
  close(): Promise<void>;
}

/** Options of {@link listen}. */
export interface ListenOptionsVsock {
  /** Mode of a unix socket's file. Default 0600: whoever may connect may command the daemon. */
  readonly mode?: number | undefined;
  /** Whose vsock connections are taken; others are closed at once. Default: anybody's. */
  readonly vsockPeers?: VsockPeers | undefined;
  /** System calls for vsock; default the real ones. */
  readonly syscalls?: VsockCalls | undefined;
}

/**
 * Listens; `onTransport` is called for each connection. Rejects with {@link VsockError}: `in-use` when somebody answers
 * there or the path is no socket. A socket file that nobody answers on is left from a dead process and is replaced.
 */
export function listen(
  address: string | Address,
  onTransport: (transport: Transport) => void,
  opts: ListenOptionsVsock = {},
): Promise<Listener> {
  return listenSockets(address, (socket) => onTransport(socketTransport(socket)), opts);
}

/** The same, with sockets that allow half-open use. */
export async function listenSockets(
  address: string | Address,
  onSocket: (socket: Socket) => void,
  opts: ListenOptionsVsock = {},
): Promise<Listener> {
  const at = typeof address === "string" ? parseAddress(address) : address;
  switch (at.scheme) {
    case "vsock": {
      const listener = listenVsock(at, onSocket, opts.syscalls, opts.vsockPeers);
      return {
        address: formatAddress(listener.address),
        close: () => {
          listener.close();
          return Promise.resolve();
        },
      };
    }
    case "hvsock":
      throw new VsockError("address", `listen on ${formatAddress(at)}: a hybrid port is offered by a HybridVsock`);
    case "unix":
      await removeStale(at.path);
      return serve(at, { path: socketPath(at.path) }, onSocket, opts.mode ?? 0o600);
    case "tcp":
      if (typeof NACRE_FLAVOUR === "undefined" || NACRE_FLAVOUR === "devkit")
        return serve(at, { host: at.host, port: at.port }, onSocket, undefined);
      else throw noTcp(at);
  }
}

async function serve(
  at: Address,
  where: ListenOptions,
  onSocket: (socket: Socket) => void,
  mode: number | undefined,
): Promise<Listener> {
  const server = createServer({ allowHalfOpen: true, noDelay: true, keepAlive: true }, onSocket);
  try {
    server.listen(where);
    // The file is there when listen() returns. Nobody can come between: connecting needs write permission, which a
    // usual umask leaves to the owner, and no connection is taken before this turn ends.
    if (mode !== undefined && server.listening && where.path?.startsWith("/") === true) chmodSync(where.path, mode);
    if (!server.listening) await once(server, "listening");
  } catch (error) {
    server.close();
    throw VsockError.from(error, `listen on ${formatAddress(at)}`);
  }
  const actual = at.scheme === "tcp" ? { ...at, port: (server.address() as AddressInfo).port } : at;
  return {
    address: formatAddress(actual),
    close: () => {
      // The descriptor and the file are gone when this returns; its event would wait for every connection to end.
      if (server.listening) server.close();
      return Promise.resolve();
    },
  };
}

async function removeStale(path: string): Promise<void> {
  if (path.startsWith("@")) return;
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found === undefined) return;
  if (!found.isSocket()) throw new VsockError("in-use", `listen on unix://${path}: expected a socket or nothing there`);
  try {
    (await dialSocket({ scheme: "unix", path })).destroy();
  } catch (error) {
    if (!(error instanceof VsockError) || error.code !== "refused") throw error;
    unlinkSync(path);
    return;
  }
  throw new VsockError("in-use", `listen on unix://${path}: another server answers there`);
}
