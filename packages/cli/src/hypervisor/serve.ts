import { mkdirSync } from "node:fs";
import type { Socket } from "node:net";
import { dirname, join, resolve } from "node:path";

import { Hypervisor } from "@nacre/protocols";
import { TtrpcServer } from "@nacre/ttrpc";
import { type Listener, listenSockets, socketTransport } from "@nacre/vsock";

import { NacreError } from "../error.ts";
import { takeOwnership } from "./owner.ts";
import { runtimeProcess } from "./runtime-process.ts";
import { HypervisorService, type HypervisorOptions } from "./service.ts";
import { VmRecords } from "./vm-record.ts";

/** Where an unchanged runtime looks for the service (kata-agent, 9.2). */
export const DEFAULT_SOCKET = "/run/peerpod/hypervisor.sock";
/** How long calls in flight may go on when the server ends, in milliseconds; a guest starts in less. */
const CLOSE_GRACE_MS = 10_000;
/** The kernel's sun_path without its closing zero. */
const MAX_SOCKET_PATH = 107;
/** The runtime makes a URL of the path and parts it at colons. */
const PLAIN_PATH: RegExp = /^\/[A-Za-z0-9/._-]*$/u;

/** How a server is set up; the rest is its service's. */
export interface ServeOptions extends Omit<HypervisorOptions, "records"> {
  /** Default {@link DEFAULT_SOCKET}. */
  readonly socket?: string;
  /** Where guests and records are kept. */
  readonly stateRoot: string;
}

/** A server that listens. */
export interface HypervisorServer extends AsyncDisposable {
  readonly socket: string;
  readonly service: HypervisorService;
  /** Takes no more calls, ends those that start guests, and leaves guests that run. */
  close(): Promise<void>;
}

/**
 * Serves `hypervisor.Hypervisor` on a unix socket; ready when it resolves. One server at a time for a state root: it
 * takes over the guests that an earlier one has left. Throws NacreError, and VsockError where the socket is another's.
 */
export async function serveHypervisor(options: ServeOptions): Promise<HypervisorServer> {
  const stateRoot = resolve(options.stateRoot);
  if (!PLAIN_PATH.test(stateRoot)) {
    throw new NacreError(
      "usage",
      `state folder: expected letters, digits, dots, dashes and underscores, as the runtime makes a URL of it, got ${stateRoot}`,
    );
  }
  const example = options.machine.agentSocket(options.machine.newGuestId());
  if (Buffer.byteLength(example) > MAX_SOCKET_PATH) {
    throw new NacreError("usage", `state folder: expected a shorter path, as sockets like ${example} have no room`);
  }
  const folder = join(stateRoot, "hypervisor");
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const ownership = takeOwnership(join(folder, "owner.json"));
  const service = new HypervisorService({ ...options, records: new VmRecords(join(folder, "vms")) });
  // A server a connection: each call of a runtime comes on one of its own, and is its shim's.
  const servers = new Set<TtrpcServer>();
  const serve = (socket: Socket): void => {
    const server = new TtrpcServer().addService(Hypervisor, service.handlers(runtimeProcess(socket)));
    servers.add(server);
    void server.serve(socketTransport(socket)).closed.then(() => servers.delete(server));
  };
  const socket = resolve(options.socket ?? DEFAULT_SOCKET);
  let listener: Listener;
  try {
    // Before the first call, which may be about one of these.
    await service.recover();
    mkdirSync(dirname(socket), { recursive: true, mode: 0o755 });
    listener = await listenSockets(`unix://${socket}`, serve);
  } catch (error) {
    await service.close();
    ownership[Symbol.dispose]();
    throw error;
  }
  const close = async (): Promise<void> => {
    await listener.close();
    await Promise.all([...servers].map((server) => server.close({ graceMs: CLOSE_GRACE_MS })));
    await service.close();
    ownership[Symbol.dispose]();
  };
  return { socket, service, close, [Symbol.asyncDispose]: close };
}
