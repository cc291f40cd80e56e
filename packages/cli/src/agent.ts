import { codeName, type Init, type MethodDescriptor } from "@nacre/protocols";
import { RpcError, TtrpcClient } from "@nacre/ttrpc";
import { dial } from "@nacre/vsock";

import { NacreError } from "./error.ts";

/** An agent on this machine takes a connection at once or not at all. */
const DIAL_TIMEOUT_MS = 10_000;

/** A status that the agent answered. */
export class AgentRefusal extends NacreError {
  /** ttRPC's code. */
  readonly status: number;
  /** The agent's own words. */
  readonly text: string;

  constructor(method: string, error: RpcError) {
    super("agent", `${method}: ${error.message} (${codeName(error.code)})`);
    this.status = error.code;
    this.text = error.message;
  }
}

/** A connection to the agent of one guest. */
export class Agent implements Disposable {
  readonly #client: TtrpcClient;

  private constructor(client: TtrpcClient) {
    this.#client = client;
  }

  /** Connects to any address that `@nacre/vsock` knows. Throws NacreError `guest`. */
  static async connect(address: string, signal?: AbortSignal): Promise<Agent> {
    try {
      return new Agent(new TtrpcClient(await dial(address, { timeoutMs: DIAL_TIMEOUT_MS, signal })));
    } catch (cause) {
      throw new NacreError("guest", `the agent at ${address} takes no connection`, { cause });
    }
  }

  /** Resolves when the connection is over. */
  get closed(): Promise<void> {
    return this.#client.closed;
  }

  /** Calls a method; `timeoutMs` absent: as long as it takes. Throws {@link AgentRefusal}. */
  async call<Req, Res>(
    method: MethodDescriptor<Req, Res>,
    request: Init<Req>,
    options: { readonly timeoutMs?: number | undefined; readonly signal?: AbortSignal | undefined } = {},
  ): Promise<Res> {
    try {
      return await this.#client.call(method, request, options);
    } catch (error) {
      if (error instanceof RpcError) throw new AgentRefusal(method.name, error);
      throw error;
    }
  }

  [Symbol.dispose](): void {
    this.#client.close();
  }
}
