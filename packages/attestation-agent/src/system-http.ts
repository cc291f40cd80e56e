import { setTimeout as sleep } from "node:timers/promises";

import type { KbsClock, KbsHttp } from "@nacre/kbs-protocol";

import type { KbsConfig } from "./config.ts";

/** The network, made with the first token: until then nobody needs Node's client. */
export function systemHttp(
  kbs: KbsConfig | undefined,
  env: Readonly<Record<string, string | undefined>>,
): () => Promise<KbsHttp> {
  let made: Promise<KbsHttp> | undefined;
  return () =>
    (made ??= (async () => {
      const { NodeKbsHttp, proxiesOf } = await import("@nacre/kbs-client");
      const roots = kbs?.cert === undefined ? [] : [kbs.cert];
      return new NodeKbsHttp({ roots, pin: kbs?.pinCert ?? false, proxies: proxiesOf(env) });
    })());
}

/** The machine's clock. */
export const systemClock: KbsClock = {
  monotonic: () => Number(process.hrtime.bigint() / 1_000_000n),
  sleep: async (ms, signal) => {
    await sleep(ms, undefined, signal === undefined ? {} : { signal }).catch((error: unknown) => {
      throw signal?.aborted === true ? signal.reason : error;
    });
  },
};
