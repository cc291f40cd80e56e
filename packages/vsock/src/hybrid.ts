import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { Address } from "./address.ts";
import { dialSocket } from "./dial.ts";
import { VsockError } from "./error.ts";
import { parseConnect, readLine } from "./hybrid-handshake.ts";
import { joinSockets, track } from "./join-sockets.ts";
import { type Listener, listenSockets } from "./listen.ts";

/** Options of a {@link HybridVsock}. */
export interface HybridOptions {
  /** How long a caller may take to send its line. Default 10 s: a machine monitor answers in less than a millisecond. */
  readonly handshakeMs?: number;
  /** Callers at one time; more are turned away. Default 1024. */
  readonly maxConnections?: number;
  /** Told why a caller was turned away. Default: nothing. */
  readonly onRefused?: (error: VsockError) => void;
}

/**
 * Hybrid vsock as Firecracker and Cloud Hypervisor offer it: a unix socket on the host, on which a caller says
 * `CONNECT port\n` and hears `OK port\n` before it is joined to that port of the guest. A caller that says anything
 * else, or a port that nobody listens on, finds the connection closed.
 */
export class HybridVsock {
  /** The unix socket, as an address. */
  readonly address: string;
  readonly #listener: Listener;
  readonly #sockets: Set<Duplex>;

  private constructor(listener: Listener, sockets: Set<Duplex>) {
    this.#listener = listener;
    this.address = listener.address;
    this.#sockets = sockets;
  }

  /** `portToAddress` says where a guest port really is, or connects to it; undefined for a port that is closed. */
  static async listen(
    path: string,
    portToAddress: (port: number) => Address | string | Promise<Duplex> | undefined,
    opts: HybridOptions = {},
  ): Promise<HybridVsock> {
    const { handshakeMs = 10_000, maxConnections = 1024, onRefused } = opts;
    const sockets = new Set<Duplex>();
    let callers = 0;
    const take = async (caller: Socket): Promise<void> => {
      track(sockets, caller);
      callers++;
      caller.on("close", () => callers--);
      try {
        if (callers > maxConnections) throw new VsockError("handshake", `expected at most ${maxConnections} callers`);
        const port = await readPort(caller, handshakeMs);
        const there = portToAddress(port);
        if (there === undefined) throw new VsockError("refused", `port ${port} is closed`);
        const target = there instanceof Promise ? await there : await dialSocket(there, { timeoutMs: handshakeMs });
        track(sockets, target);
        if (caller.destroyed) target.destroy();
        else {
          caller.write(`OK ${port}\n`);
          joinSockets(caller, target);
        }
      } catch (error) {
        caller.destroy();
        onRefused?.(VsockError.from(error, "hybrid vsock"));
      }
    };
    const listener = await listenSockets({ scheme: "unix", path }, (socket) => void take(socket));
    return new HybridVsock(listener, sockets);
  }

  /** Connections that are open, both halves counted. */
  get open(): number {
    return this.#sockets.size;
  }

  /** Stops listening and drops every connection. */
  async close(): Promise<void> {
    await this.#listener.close();
    const closed = [...this.#sockets].map((s) => new Promise((resolve) => s.once("close", resolve)));
    for (const socket of this.#sockets) socket.destroy();
    await Promise.all(closed);
  }
}

async function readPort(caller: Socket, handshakeMs: number): Promise<number> {
  const late = new AbortController();
  const timer = setTimeout(
    () => late.abort(new VsockError("timeout", `expected a line within ${handshakeMs} ms`)),
    handshakeMs,
  );
  try {
    return parseConnect(await readLine(caller, late.signal));
  } finally {
    clearTimeout(timer);
  }
}
