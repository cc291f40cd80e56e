import { kbsHttpOnDemand } from "@nacre/kbs-client/on-demand";
import type { KbsHttp } from "@nacre/kbs-protocol";

import type { KbsConfig } from "./config.ts";

/** The network as the configuration means it, made with the first token. */
export function systemHttp(
  kbs: KbsConfig | undefined,
  env: Readonly<Record<string, string | undefined>>,
): () => Promise<KbsHttp> {
  return kbsHttpOnDemand({ roots: kbs?.cert === undefined ? [] : [kbs.cert], pin: kbs?.pinCert ?? false, env });
}
