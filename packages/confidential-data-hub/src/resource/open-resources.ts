import { systemKbsClock } from "@nacre/kbs-client/clock";
import { kbsHttpOnDemand } from "@nacre/kbs-client/on-demand";

import type { HubConfig } from "../config.ts";
import { agentToken } from "./agent-token.ts";
import { brokerResources, noResources, type Resources } from "./broker.ts";

/** The resources that the configuration means. The network is loaded with the first of them. */
export function openResources(
  { kbc, agentSocket }: Pick<HubConfig, "agentSocket" | "kbc">,
  env: Readonly<Record<string, string | undefined>>,
): Resources {
  if (kbc === undefined) return noResources("no key broker is configured: expected [kbc] or agent.aa_kbc_params");
  const { name, url, cert } = kbc;
  if (name !== "cc_kbc" || url === undefined) return noResources(`[kbc]: expected cc_kbc and its url, got ${name}`);
  return brokerResources({
    url,
    clock: systemKbsClock,
    token: (fresh, signal) => agentToken(agentSocket, fresh, signal),
    http: kbsHttpOnDemand({ roots: cert === undefined ? [] : [cert], env }),
  });
}
