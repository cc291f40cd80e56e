/**
 * AF_VSOCK sockets as `net.Socket`. Node has no address family for them: `net.Server.listen({fd})` and
 * `new net.Socket({fd})` refuse the descriptor, because libuv guesses a handle type from the family. A pipe handle does
 * not look: `open` takes any stream descriptor, and reads, writes, accepts and shuts down as for a unix socket. That
 * handle is reached through `process.binding`, so everything that does stays in this file.
 */
import { closeSync } from "node:fs";
import { Socket as NetSocket, type SocketConstructorOpts } from "node:net";
import { getSystemErrorName } from "node:util";
import { linuxSyscalls, Socket, type SocketCalls, SysError, type Syscalls } from "@nacre/kata-sys-util";
import { CID_ANY, type VsockAddress } from "./address.ts";
import { VsockError } from "./error.ts";

/** The system calls that this file makes. */
export type VsockCalls = Pick<
  SocketCalls & Syscalls,
  "socket" | "vsockBind" | "vsockConnect" | "vsockLocalAddress" | "vsockPeerAddress" | "socketError" | "poll"
>;

/** What `pipe_wrap` offers, as far as it is used here. */
interface PipeHandle {
  readonly fd: number;
  open(fd: number): number;
  listen(backlog: number): number;
  close(callback?: () => void): void;
  onconnection: ((status: number, client: PipeHandle | undefined) => void) | undefined;
}
interface PipeWrap {
  readonly Pipe: new (type: number) => PipeHandle;
  readonly constants: { readonly SOCKET: number; readonly SERVER: number };
}

const BACKLOG = 128;

function pipeWrap(): PipeWrap {
  return (process as unknown as { binding(name: string): unknown }).binding("pipe_wrap") as PipeWrap;
}

/** A connected stream descriptor of any family as a `net.Socket`, which owns it from now on. */
export function socketFromFd(fd: number): NetSocket {
  const { Pipe, constants } = pipeWrap();
  const handle = new Pipe(constants.SOCKET);
  const status = handle.open(fd);
  if (status !== 0) {
    handle.close();
    throw new VsockError("io", `open descriptor ${fd}: ${getSystemErrorName(status)}`);
  }
  return socketFromHandle(handle);
}

function socketFromHandle(handle: PipeHandle): NetSocket {
  // `handle` is an option that Node's own servers use for what they accept; its types do not name it.
  return new NetSocket({ handle, allowHalfOpen: true } as unknown as SocketConstructorOpts);
}

/** A listening vsock socket. */
export interface VsockListener {
  /** The address with the port that the kernel chose. */
  readonly address: VsockAddress;
  close(): void;
}

/** Whose connections are taken, by the peer's context id. */
export type VsockPeers = (cid: number) => boolean;

/** Listens on a vsock port. Throws {@link VsockError} `unsupported` on a machine without vsock. */
export function listenVsock(
  address: VsockAddress,
  onSocket: (socket: NetSocket) => void,
  calls: VsockCalls = linuxSyscalls(),
  takes: VsockPeers = () => true,
): VsockListener {
  const fd = vsock(calls, "listen");
  /** It owns the descriptor. */
  let owner: PipeHandle | undefined;
  try {
    calls.vsockBind(fd, { cid: address.cid, port: address.port });
    const { Pipe, constants } = pipeWrap();
    const handle = new Pipe(constants.SERVER);
    const opened = handle.open(fd);
    if (opened !== 0) handle.close();
    check(opened, "open");
    owner = handle;
    handle.onconnection = (status, client): void => {
      if (status !== 0 || client === undefined) return;
      if (isTaken(client, calls, takes)) onSocket(socketFromHandle(client));
      else client.close();
    };
    check(handle.listen(BACKLOG), "listen");
    const { port } = calls.vsockLocalAddress(fd);
    return { address: { scheme: "vsock", cid: address.cid, port }, close: () => handle.close() };
  } catch (error) {
    if (owner === undefined) closeSync(fd);
    else owner.close();
    throw VsockError.from(error, `listen on vsock port ${address.port}`);
  }
}

function isTaken(client: PipeHandle, calls: VsockCalls, takes: VsockPeers): boolean {
  try {
    return takes(calls.vsockPeerAddress(client.fd).cid);
  } catch {
    // Gone already.
    return false;
  }
}

/** Connects to a vsock port. Rejects with {@link VsockError}. */
export async function dialVsock(
  address: VsockAddress,
  signal: AbortSignal | undefined,
  calls: VsockCalls = linuxSyscalls(),
): Promise<NetSocket> {
  if (address.cid === CID_ANY) throw new VsockError("address", "expected a context id to connect to, got any");
  const fd = vsock(calls, "connect");
  try {
    if (!calls.vsockConnect(fd, { cid: address.cid, port: address.port })) await connected(fd, signal, calls);
    return socketFromFd(fd);
  } catch (error) {
    closeSync(fd);
    throw VsockError.from(error, `connect to vsock ${address.cid}:${address.port}`);
  }
}

/** Waits for a connect that goes on: the descriptor turns writable, then SO_ERROR tells how it went. */
async function connected(fd: number, signal: AbortSignal | undefined, calls: VsockCalls): Promise<void> {
  signal?.throwIfAborted();
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const watch = calls.poll(fd, { writable: true }, () => resolve());
  const abort = (): void => reject(signal?.reason as Error);
  signal?.addEventListener("abort", abort);
  try {
    await promise;
  } finally {
    signal?.removeEventListener("abort", abort);
    watch.close();
  }
  const errno = calls.socketError(fd);
  if (errno !== 0) throw SysError.fromErrno(errno, "connect");
}

function vsock(calls: VsockCalls, operation: string): number {
  try {
    return calls.socket(Socket.AF_VSOCK, Socket.STREAM);
  } catch (error) {
    throw VsockError.from(error, `${operation}: this machine has no vsock`);
  }
}

function check(status: number, operation: string): void {
  if (status === 0) return;
  const code = getSystemErrorName(status);
  throw Object.assign(new Error(`${operation}: ${code}`), { code });
}
