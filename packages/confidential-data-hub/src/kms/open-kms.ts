import { HubError } from "../error.ts";
import type { Resources } from "../resource/resources.ts";
import { brokerName } from "./broker-name.ts";
import type { Kms, OpenKms } from "./kms.ts";
import type { KmsPorts } from "./ports.ts";

/** `clients.ts`, which is a bundle of its own. */
export type KmsModule = Pick<typeof import("./clients.ts"), "kmsClient" | "systemKmsPorts">;

export interface OpenKmsOptions {
  readonly resources: Pick<Resources, "get">;
  /** Clients of all other services, in a bundle of their own. */
  readonly loadClients: () => Promise<KmsModule>;
  readonly env: KmsPorts["env"];
}

/** By a provider's name in letters of either case, as upstream: the key broker, or another service. */
export function kmsOpener({ resources, loadClients, env }: OpenKmsOptions): OpenKms {
  return async (provider, settings) => {
    const name = provider.toLowerCase();
    if (name === "kbs") return brokerKms(resources);
    const { kmsClient, systemKmsPorts } = await loadClients();
    const client = kmsClient(name, settings, systemKmsPorts(env));
    if (client === undefined) {
      throw new HubError("malformed", "provider: expected kbs, aws, aliyun or ehsm");
    }
    return client;
  };
}

/** The key broker as a vault: it hands out what is there, and decrypts nothing. */
function brokerKms(resources: Pick<Resources, "get">): Kms {
  return {
    secret: async (name, _, signal) => await resources.get(brokerName(name, "vault secret"), signal),
    decrypt: () => Promise.reject(new HubError("malformed", "provider kbs: it does not decrypt")),
  };
}
