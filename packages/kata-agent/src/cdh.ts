import { type image, ImagePullService } from "@nacre/protocols";
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
}

/**
 * The hub behind a ttRPC address. Each pull has a connection of its own: ttRPC has no message that takes a call back,
 * but a server ends the calls of a connection that is gone, and that is how the end of our caller reaches the registry.
 */
export class DataHubClient implements DataHub {
  readonly #address: string;
  readonly #pullTimeoutMs: number;

  constructor(options: { address: string; pullTimeoutMs: number }) {
    this.#address = options.address;
    this.#pullTimeoutMs = options.pullTimeoutMs;
  }

  async pullImage(reference: string, bundle: string, signal: AbortSignal): Promise<image.ImagePullResponse> {
    const client = await this.#connect(signal);
    const close = (): void => client.close();
    signal.addEventListener("abort", close, { once: true });
    try {
      signal.throwIfAborted();
      return await client.call(
        ImagePullService.methods.PullImage,
        { image_url: reference, bundle_path: bundle },
        { timeoutMs: this.#pullTimeoutMs },
      );
    } catch (cause) {
      signal.throwIfAborted();
      throw internalError(`pulling image ${reference}`, cause);
    } finally {
      signal.removeEventListener("abort", close);
      client.close();
    }
  }

  async #connect(signal: AbortSignal): Promise<TtrpcClient> {
    try {
      return new TtrpcClient(await dial(this.#address, { timeoutMs: DIAL_TIMEOUT_MS, signal }));
    } catch (cause) {
      signal.throwIfAborted();
      throw internalError("the Confidential Data Hub cannot be reached", cause);
    }
  }
}
