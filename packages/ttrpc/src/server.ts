import type { Init, MethodDescriptor, ServiceDescriptor } from "@nacre/protocols";
import type { CallContext } from "./call.ts";
import { type Clock, systemClock } from "./clock.ts";
import { Deadlines } from "./deadlines.ts";
import { type Route, RouteTable } from "./route.ts";
import { type ConnectionHost, type ConnectionLimits, ServerConnection } from "./server-connection.ts";
import type { Transport } from "./transport.ts";

/** What answers one method: the reply, or a promise of it. A thrown {@link RpcError} becomes the call's status. */
export type Handler<M> =
  M extends MethodDescriptor<infer Req, infer Res>
    ? (request: Req, context: CallContext) => Promise<Init<Res>> | Init<Res>
    : never;

/** Handlers of a service by method name. A method without one answers UNIMPLEMENTED. */
export type Handlers<S extends ServiceDescriptor> = { readonly [M in keyof S["methods"]]?: Handler<S["methods"][M]> };

/** Options of a {@link TtrpcServer}. */
export interface ServerOptions {
  /** See {@link ConnectionLimits} for meaning and defaults. */
  readonly limits?: Partial<ConnectionLimits>;
  /** Time for deadlines; default the machine's monotonic clock. */
  readonly clock?: Clock;
  /**
   * Told of every failure that was not thrown as an RpcError, and of requests that do not decode. The client gets
   * message and causes; this is the place to log the stack. Default: nothing.
   */
  readonly onError?: (error: unknown, method: string) => void;
}

const DEFAULT_LIMITS: ConnectionLimits = {
  maxInFlight: 4096,
  maxInFlightBytes: 64 << 20,
  maxUnsentBytes: 64 << 20,
  halfOpenMs: 5000,
};

/** Time that {@link TtrpcServer.close} gives calls in flight. */
const CLOSE_GRACE_MS = 5000;

/** Serves any number of services over any number of connections. */
export class TtrpcServer {
  readonly #routes = new RouteTable();
  readonly #connections = new Set<ServerConnection>();
  readonly #host: ConnectionHost;
  #closing = false;

  constructor(opts: ServerOptions = {}) {
    const clock = opts.clock ?? systemClock;
    this.#host = {
      routes: this.#routes,
      limits: { ...DEFAULT_LIMITS, ...opts.limits },
      clock,
      deadlines: new Deadlines(clock),
      failed: opts.onError ?? ((): void => {}),
      gone: (connection) => this.#gone(connection),
    };
  }

  /** Connections that are open. */
  get connections(): ReadonlySet<ServerConnection> {
    return this.#connections;
  }

  /** Adds a service. Its handlers are called with `handlers` as `this`. Throws when the service is already here. */
  addService<S extends ServiceDescriptor>(descriptor: S, handlers: Handlers<S>): this {
    if (this.#routes.hasService(descriptor.name)) throw new Error(`service ${descriptor.name} was added before`);
    this.#routes.addService(descriptor.name);
    for (const [name, method] of Object.entries(descriptor.methods)) {
      const handler = (handlers as Record<string, Route["handler"] | undefined>)[name];
      if (handler !== undefined) this.#routes.add({ method, handler: handler.bind(handlers) });
    }
    return this;
  }

  /** Serves one connection until it ends. */
  serve(transport: Transport): ServerConnection {
    const connection = new ServerConnection(this.#host, transport);
    this.#connections.add(connection);
    if (this.#closing) connection.drain();
    return connection;
  }

  /**
   * Orderly end: new requests are refused, calls in flight are answered, connections end. After `graceMs` (default
   * 5000) what still runs is aborted and its connection dropped. Listeners are their owner's to close first.
   */
  async close(opts: { graceMs?: number } = {}): Promise<void> {
    this.#closing = true;
    const open = [...this.#connections];
    for (const c of open) c.drain();
    const cancel = this.#host.clock.after(opts.graceMs ?? CLOSE_GRACE_MS, () => {
      for (const c of open) c.destroy();
    });
    await Promise.all(open.map((c) => c.closed));
    cancel();
  }

  #gone(connection: ServerConnection): void {
    this.#connections.delete(connection);
    if (this.#connections.size === 0) this.#host.deadlines.stop();
  }
}
