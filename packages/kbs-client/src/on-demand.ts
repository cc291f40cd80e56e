import type { KbsHttp } from "@nacre/kbs-protocol";

import type { NodeKbsHttpOptions } from "./node-http.ts";

/** What a client is made of; its proxies are those of the environment. */
export interface OnDemandOptions extends Omit<NodeKbsHttpOptions, "proxies"> {
  readonly env: Readonly<Record<string, string | undefined>>;
}

/**
 * One client for all who ask, loaded and made with the first. Where that failed the next who asks has it made again:
 * what was short may be there then. In a module of its own: until then nobody needs Node's client.
 */
export function kbsHttpOnDemand({ env, ...options }: OnDemandOptions): () => Promise<KbsHttp> {
  let made: Promise<KbsHttp> | undefined;
  const make = async (): Promise<KbsHttp> => {
    try {
      const { NodeKbsHttp, proxiesOf } = await import("./node-http.ts");
      return new NodeKbsHttp({ ...options, proxies: proxiesOf(env) });
    } catch (error) {
      made = undefined;
      throw error;
    }
  };
  return () => (made ??= make());
}
