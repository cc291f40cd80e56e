import { type image, ImagePullService, SealedSecretService } from "@nacre/protocols";
import { TtrpcClient } from "@nacre/ttrpc";
import { dial } from "@nacre/vsock";

import { internalError } from "./error.ts";

/** How long a connection to the hub may take: it is on this machine. In milliseconds. */
const DIAL_TIMEOUT_MS = 5_000;
/** As long as the hub takes at most: an attestation, a key, a secret. */
const UNSEAL_TIMEOUT_MS = 160_000;

/** What the agent asks of the Confidential Data Hub. */
export interface DataHub {
  /**
   * Pulls an image and mounts it at `<bundle>/rootfs`. Rejects with INTERNAL, the hub's message as cause, and with the
   * signal's reason when that aborts; the hub then stops the pull.
   */
  pullImage(reference: string, bundle: string, signal: AbortSignal): Promise<image.ImagePullResponse>;
  /** The secret in a sealed text; the caller zeroes it. Rejects with the hub's status, or the signal's reason. */
  unseal(secret: Uint8Array, signal: AbortSignal): Promise<Buffer>;
}

/**
 * The hub behind a ttRPC address. Each call has a connection of its own: ttRPC has no message that takes a call back,
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
    const { PullImage } = ImagePullService.methods;
    const request = { image_url: reference, bundle_path: bundle };
    const client = await this.#connect(signal);
    try {
      return await this.#call(client, (to) => to.call(PullImage, request, { timeoutMs: this.#pullTimeoutMs }), signal);
    } catch (cause) {
      signal.throwIfAborted();
      throw internalError(`pulling image ${reference}`, cause);
    }
  }

  async unseal(secret: Uint8Array, signal: AbortSignal): Promise<Buffer> {
    const { UnsealSecret } = SealedSecretService.methods;
    const client = await this.#connect(signal);
    const { plaintext } = await this.#call(
      client,
      (to) => to.call(UnsealSecret, { secret }, { timeoutMs: UNSEAL_TIMEOUT_MS }),
      signal,
    );
    return Buffer.from(plaintext.buffer, plaintext.byteOffset, plaintext.byteLength);
  }

  /** One call on a connection of its own, which the signal ends. */
  async #call<T>(client: TtrpcClient, call: (to: TtrpcClient) => Promise<T>, signal: AbortSignal): Promise<T> {
    const close = (): void => client.close();
    signal.addEventListener("abort", close, { once: true });
    try {
      signal.throwIfAborted();
      return await call(client);
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
