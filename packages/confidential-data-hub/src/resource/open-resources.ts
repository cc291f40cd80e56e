import { systemKbsClock } from "@nacre/kbs-client/clock";
import { kbsHttpOnDemand } from "@nacre/kbs-client/on-demand";

import type { HubConfig } from "../config.ts";
import { AgentTokens } from "./agent-tokens.ts";
import { brokerResources } from "./broker.ts";
import { noResources, type Resources } from "./resources.ts";

/** Connections to the broker; more requests wait for one. It serves other guests, too. */
const MAX_CONNECTIONS = 16;

/** Comma-separated paths of further files of the offline broker. */
const EXTRA_FILES = "OFFLINE_FS_KBC_EXTRA_FILE_PATH";

type Environment = Readonly<Record<string, string | undefined>>;

/** The resources that the configuration means. The network is loaded with the first of them. Rejects with ConfigError. */
export async function openResources(
  { kbc, agentSocket }: Pick<HubConfig, "agentSocket" | "kbc">,
  env: Environment,
): Promise<Resources> {
  if (kbc === undefined) return noResources("no key broker is configured: expected [kbc] or agent.aa_kbc_params");
  const { name, url, cert } = kbc;
  if (name === "offline_fs_kbc") {
    const { OFFLINE_FILES, offlineResources } = await import("./offline.ts");
    const extra = env[EXTRA_FILES]?.split(",").filter((file) => file !== "") ?? [];
    return await offlineResources([...OFFLINE_FILES, ...extra]);
  }
  if (url === undefined) return noResources("[kbc]: expected the url of cc_kbc");
  const tokens = new AgentTokens(agentSocket);
  return brokerResources({
    url,
    clock: systemKbsClock,
    tokens,
    http: kbsHttpOnDemand({ roots: cert === undefined ? [] : [cert], env, maxConnections: MAX_CONNECTIONS }),
    close: () => tokens.close(),
  });
}
