import { connect, type NetConnectOpts, type Socket } from "node:net";
import type { Transport } from "@nacre/ttrpc";
import { type Address, formatAddress, noTcp, parseAddress, socketPath } from "./address.ts";
import { VsockError } from "./error.ts";
import { askForPort } from "./hybrid-handshake.ts";
import { socketTransport } from "./socket-transport.ts";
import { dialVsock, type VsockCalls } from "./vsock-socket.ts";

/** As in address.ts. */
declare const NACRE_FLAVOUR: string | undefined;

/** Options of {@link dial}. */
export interface DialOptions {
  /** Gives up: rejects with `aborted`. */
  readonly signal?: AbortSignal | undefined;
  /** Gives up after so many milliseconds, handshake included: rejects with `timeout`. Default: the kernel's patience. */
  readonly timeoutMs?: number | undefined;
  /** System calls for vsock; default the real ones. */
  readonly syscalls?: VsockCalls | undefined;
}

/** Connects. Rejects with {@link VsockError}; nothing stays open then. */
export async function dial(address: string | Address, opts: DialOptions = {}): Promise<Transport> {
  return socketTransport(await dialSocket(address, opts));
}

/** The same, as a socket that allows half-open use. */
export async function dialSocket(address: string | Address, opts: DialOptions = {}): Promise<Socket> {
  const to = typeof address === "string" ? parseAddress(address) : address;
  const limits = opts.timeoutMs === undefined ? [] : [AbortSignal.timeout(opts.timeoutMs)];
  if (opts.signal !== undefined) limits.push(opts.signal);
  const signal = limits.length === 0 ? undefined : AbortSignal.any(limits);
  try {
    signal?.throwIfAborted();
    return await open(to, signal, opts.syscalls);
  } catch (error) {
    const operation = `connect to ${formatAddress(to)}`;
    if (opts.signal?.aborted === true) throw new VsockError("aborted", `${operation}: aborted`, { cause: error });
    if (signal?.aborted === true) {
      throw new VsockError("timeout", `${operation}: no answer within ${opts.timeoutMs} ms`, { cause: error });
    }
    if (error instanceof VsockError && error.code === "handshake") {
      throw new VsockError("handshake", `${operation}: ${error.message}`, { cause: error });
    }
    throw VsockError.from(error, operation);
  }
}

async function open(to: Address, signal: AbortSignal | undefined, calls: VsockCalls | undefined): Promise<Socket> {
  switch (to.scheme) {
    case "vsock":
      return dialVsock(to, signal, calls);
    case "hvsock": {
      const socket = await connected({ path: to.path }, signal);
      await askForPort(socket, to.port, signal);
      return socket;
    }
    case "unix":
      return connected({ path: socketPath(to.path) }, signal);
    case "tcp":
      if (typeof NACRE_FLAVOUR === "undefined" || NACRE_FLAVOUR === "devkit")
        return connected({ host: to.host, port: to.port, noDelay: true, keepAlive: true }, signal);
      else throw noTcp(to);
  }
}

function connected(to: NetConnectOpts, signal: AbortSignal | undefined): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ ...to, allowHalfOpen: true });
    const abort = (): void => {
      socket.destroy(signal?.reason as Error);
    };
    const done = (): void => {
      socket.removeListener("error", failed);
      signal?.removeEventListener("abort", abort);
    };
    const failed = (error: Error): void => {
      done();
      reject(error);
    };
    socket.once("error", failed);
    socket.once("connect", () => {
      done();
      resolve(socket);
    });
    signal?.addEventListener("abort", abort);
  });
}
