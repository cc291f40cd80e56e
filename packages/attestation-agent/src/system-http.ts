import type { KbsHttp } from "@nacre/kbs-protocol";

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
