import { isBrokerPacket, OcicryptError, type Packet, parsePacket, unwrap } from "@nacre/ocicrypt";

import { HubError } from "../error.ts";
import type { OpenKms } from "../kms/kms.ts";
import type { Resources } from "../resource/resources.ts";

/** For a packet: a key of the broker, which may cost an attestation. */
const TIMEOUT_MS = 150_000;

export interface UnwrapperOptions {
  readonly resources: Pick<Resources, "get">;
  readonly openKms: OpenKms;
}

/** Opens what wraps the options of an encrypted layer. The packet is the registry's word, and the host's. */
export class Unwrapper {
  readonly #options: UnwrapperOptions;

  constructor(options: UnwrapperOptions) {
    this.#options = options;
  }

  /** `json` is a packet. The caller zeroes the result. Rejects with HubError, KbsProtocolError or the signal's reason. */
  async unwrap(json: string, signal: AbortSignal): Promise<Buffer> {
    try {
      return await this.#open(parsePacket(json), AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)]));
    } catch (cause) {
      if (cause instanceof OcicryptError) throw new HubError("malformed", cause.message, { cause });
      throw cause;
    }
  }

  async #open(packet: Packet, signal: AbortSignal): Promise<Buffer> {
    if (!isBrokerPacket(packet)) {
      const { provider, settings, data, kid, annotations } = packet;
      const kms = await this.#options.openKms(provider, settings, signal);
      return await kms.decrypt(data, kid, annotations, signal);
    }
    const key = await this.#options.resources.get(packet.kid, signal);
    try {
      return unwrap(packet.wrapped, key);
    } finally {
      key.fill(0);
    }
  }
}
