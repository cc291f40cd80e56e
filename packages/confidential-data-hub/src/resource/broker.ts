import {
  type AgentToken,
  bearerSessions,
  getResource,
  type KbsClock,
  type KbsHttp,
  parseResourceUri,
} from "@nacre/kbs-protocol";

import type { TokenSource } from "./agent-tokens.ts";
import type { Resources } from "./resources.ts";

/** A pull or a mount waits for it: an attestation of a machine with many devices fits into it, and then the resource. */
export const RESOURCE_TIMEOUT_MS = 150_000;

export interface BrokerOptions {
  readonly url: string;
  /** The network, loaded with the first resource. */
  readonly http: () => Promise<KbsHttp>;
  readonly clock: KbsClock;
  readonly tokens: TokenSource;
  readonly close?: () => void;
}

/** Resources of the key broker, for the token that the attestation agent has of it. */
export function brokerResources({ url, http, clock, tokens, close = () => {} }: BrokerOptions): Resources {
  return {
    async get(name, signal) {
      const uri = parseResourceUri(name);
      const limit = AbortSignal.any([signal, AbortSignal.timeout(RESOURCE_TIMEOUT_MS)]);
      let shown: AgentToken | undefined;
      const sessions = bearerSessions(async (fresh) => {
        shown = await tokens.get(fresh ? shown : undefined, limit);
        return shown;
      });
      return await getResource(uri, { url, http: await http(), sessions, clock, signal: limit });
    },
    close,
  };
}
