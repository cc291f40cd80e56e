import type { Socket } from "node:net";

import type { Address } from "./address.ts";
import { dialSocket } from "./dial.ts";
import { VsockError } from "./error.ts";
import { joinSockets, track } from "./join-sockets.ts";
import { type Listener, listenSockets } from "./listen.ts";

/** Options of a {@link Relay}. */
export interface RelayOptions {
  /** How long the other side may take to answer, in milliseconds. Default 10 s. */
  readonly dialMs?: number;
  /** Callers at one time; more are turned away. Default 1024. */
  readonly maxConnections?: number;
  /** Told why a caller was turned away. Default: nothing. */
  readonly onRefused?: (error: VsockError) => void;
}

/** One address offered at another: a caller is joined to a connection of its own, or finds its connection closed. */
export class Relay {
  /** Where it listens. */
  readonly address: string;
  readonly #listener: Listener;
  readonly #sockets: Set<Socket>;

  private constructor(listener: Listener, sockets: Set<Socket>) {
    this.#listener = listener;
    this.address = listener.address;
    this.#sockets = sockets;
  }

  static async listen(at: Address | string, target: Address | string, opts: RelayOptions = {}): Promise<Relay> {
    const { dialMs = 10_000, maxConnections = 1024, onRefused } = opts;
    const sockets = new Set<Socket>();
    let callers = 0;
    const take = async (caller: Socket): Promise<void> => {
      track(sockets, caller);
      callers++;
      caller.on("close", () => callers--);
      try {
        if (callers > maxConnections) throw new VsockError("refused", `expected at most ${maxConnections} callers`);
        const other = await dialSocket(target, { timeoutMs: dialMs });
        track(sockets, other);
        if (caller.destroyed) other.destroy();
        else joinSockets(caller, other);
      } catch (error) {
        caller.destroy();
        onRefused?.(VsockError.from(error, "relay"));
      }
    };
    return new Relay(await listenSockets(at, (socket) => void take(socket)), sockets);
  }

  /** Connections that are open, both halves counted. */
  get open(): number {
    return this.#sockets.size;
  }

  /** Stops listening and drops every connection. */
  async close(): Promise<void> {
    await this.#listener.close();
    const closed = [...this.#sockets].map((socket) => new Promise((resolve) => socket.once("close", resolve)));
    for (const socket of this.#sockets) socket.destroy();
    await Promise.all(closed);
  }
}
