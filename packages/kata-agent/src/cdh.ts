import { ImagePullService, type image } from "@nacre/protocols";
import { TtrpcClient } from "@nacre/ttrpc";
import { dial } from "@nacre/vsock";

import { internalError } from "./error.ts";

/** How long a connection to the hub may take: it is on this machine. In milliseconds. */
const DIAL_TIMEOUT_MS = 5_000;

/** What the agent asks of the Confidential Data Hub. */
export interface DataHub {
  /**
   * Pulls an image and mounts it at `<bundle>/rootfs`. Rejects with INTERNAL, the hub's message as cause, and with the
   * signal's reason when that aborts; the hub then stops the pull.
   */
  pullImage(reference: string, bundle: string, signal: AbortSignal): Promise<image.ImagePullResponse>;
  close(): void;
}

/** The hub behind a ttRPC address. The connection is made when it is first needed and made anew after it broke. */
export class DataHubClient implements DataHub {
  readonly #address: string;
  readonly #pullTimeoutMs: number;
  #connection: Promise<TtrpcClient> | undefined;

  constructor(options: { address: string; pullTimeoutMs: number }) {
    this.#address = options.address;
    this.#pullTimeoutMs = options.pullTimeoutMs;
  }

  async pullImage(reference: string, bundle: string, signal: AbortSignal): Promise<image.ImagePullResponse> {
    const client = await this.#connect();
    signal.throwIfAborted();
    try {
      return await client.call(
        ImagePullService.methods.PullImage,
        { image_url: reference, bundle_path: bundle },
        { timeoutMs: this.#pullTimeoutMs, signal },
      );
    } catch (cause) {
      signal.throwIfAborted();
      throw internalError(`pulling image ${reference}`, cause);
    }
  }

  close(): void {
    const connection = this.#connection;
    this.#connection = undefined;
    connection?.then(
      (client) => client.close(),
      () => undefined,
    );
  }

  #connect(): Promise<TtrpcClient> {
    this.#connection ??= this.#open();
    return this.#connection;
  }

  async #open(): Promise<TtrpcClient> {
    try {
      const client = new TtrpcClient(await dial(this.#address, { timeoutMs: DIAL_TIMEOUT_MS }));
      const forget = (): void => {
        this.#connection = undefined;
      };
      client.closed.then(forget, forget);
      return client;
    } catch (cause) {
      this.#connection = undefined;
      throw internalError("the Confidential Data Hub cannot be reached", cause);
    }
  }
}
