import { Code, type Init, type MethodDescriptor } from "@nacre/protocols";
import { RpcError, TtrpcClient } from "@nacre/ttrpc";
import { dial } from "@nacre/vsock";

import { RestError } from "./error.ts";

/** As upstream's; also for connecting, which is to this machine. */
const TIMEOUT_MS = 50_000;
const DIAL_TIMEOUT_MS = 5000;

/** How a call is made. */
export interface ComponentCall {
  readonly signal: AbortSignal;
  /** Whether the call does no harm when it is made twice: the connection may have ended after it was heard. */
  readonly repeatable: boolean;
}

/** A component of the guest behind a ttRPC socket: one connection, made with the first call and again when it has ended. */
export class Component {
  readonly #address: string;
  readonly #name: string;
  #connection: Promise<TtrpcClient> | undefined;

  /** `name`: as upstream's errors have it. */
  constructor(address: string, name: string) {
    this.#address = address;
    this.#name = name;
  }

  /** Rejects with RestError `away` or `refused`; upstream's sentences. */
  async call<Req, Res>(method: MethodDescriptor<Req, Res>, request: Init<Req>, how: ComponentCall): Promise<Res> {
    try {
      return await this.#callOnce(method, request, how);
    } catch (error) {
      const ended = error instanceof RpcError && error.code === Code.UNAVAILABLE;
      if (!ended || !how.repeatable) throw this.#failed(error);
    }
    try {
      return await this.#callOnce(method, request, how);
    } catch (error) {
      throw this.#failed(error);
    }
  }

  close(): void {
    void this.#connection?.then(
      (client) => client.close(),
      () => undefined,
    );
  }

  async #callOnce<Req, Res>(
    method: MethodDescriptor<Req, Res>,
    request: Init<Req>,
    { signal }: ComponentCall,
  ): Promise<Res> {
    const client = await (this.#connection ??= this.#connect());
    return await client.call(method, request, { timeoutMs: TIMEOUT_MS, signal });
  }

  #connect(): Promise<TtrpcClient> {
    const connection = this.#dial();
    const forget = (): void => {
      if (this.#connection === connection) this.#connection = undefined;
    };
    connection.then((client) => client.closed.then(forget), forget);
    return connection;
  }

  async #dial(): Promise<TtrpcClient> {
    return new TtrpcClient(await dial(this.#address, { timeoutMs: DIAL_TIMEOUT_MS }));
  }

  #failed(cause: unknown): RestError {
    const answered = cause instanceof RpcError && cause.code !== Code.UNAVAILABLE;
    return answered
      ? new RestError("refused", "ttrpc request error", { cause })
      : new RestError("away", `failed to reconnect to ${this.#name} after LocalClosed`, { cause });
  }
}
