import {
  type AgentToken,
  bearerSessions,
  getResource,
  type KbsClock,
  type KbsHttp,
  parseResourceUri,
} from "@nacre/kbs-protocol";

import { HubError } from "../error.ts";

/** A pull or a mount waits for it: an attestation of a machine with many devices fits into it, and then the resource. */
export const RESOURCE_TIMEOUT_MS = 150_000;

export interface BrokerOptions {
  readonly url: string;
  /** The network, loaded with the first resource. */
  readonly http: () => Promise<KbsHttp>;
  readonly clock: KbsClock;
  /** `fresh`: made now, because the broker did not take the last one. */
  readonly token: (fresh: boolean, signal: AbortSignal) => Promise<AgentToken>;
}

/** Where resources come from. */
export interface Resources {
  /**
   * A resource by its `kbs://` name. The caller zeroes it. Rejects with HubError `agent` where there is no token to be
   * had, KbsProtocolError, or the signal's reason.
   */
  get(name: string, signal: AbortSignal): Promise<Buffer>;
}

/** Resources of the key broker, for the token that the attestation agent has of it. */
export function brokerResources({ url, http, clock, token }: BrokerOptions): Resources {
  return {
    async get(name, signal) {
      const uri = parseResourceUri(name);
      const limit = AbortSignal.any([signal, AbortSignal.timeout(RESOURCE_TIMEOUT_MS)]);
      const sessions = bearerSessions(async (fresh) => await token(fresh, limit));
      return await getResource(uri, { url, http: await http(), sessions, clock, signal: limit });
    },
  };
}

/** Stands for a broker that no configuration names. */
export function noResources(why: string): Resources {
  return { get: () => Promise.reject(new HubError("config", why)) };
}
