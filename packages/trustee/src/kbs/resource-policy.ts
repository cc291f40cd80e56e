import { createHash } from "node:crypto";

import { TrusteeError } from "../error.ts";
import type { Fields } from "../fields.ts";
import { RegoCache } from "../policy/rego-cache.ts";
import { checkPolicy, type RegorusModule } from "../policy/rego.ts";
import { Namespace, type Storage } from "../storage/storage.ts";

export const POLICY_ID = "resource-policy";
const KEY = `${POLICY_ID}.rego`;
const ALLOW = "data.policy.allow";

/**
 * What stands until an administrator sets another: resources go to guests all of whose devices were affirmed, and never
 * on sample evidence. (Upstream's default looks at the latter only.)
 */
export const DEFAULT_RESOURCE_POLICY = `package policy

import rego.v1

default allow := false

allow if {
	data.plugin == "resource"
	not input.submods.cpu0["ear.veraison.annotated-evidence"].sample
	count(input.submods) > 0
	every _, submodule in input.submods { submodule["ear.status"] == "affirming" }
}
`;

/** What a request is about, as a policy sees it in `data`. */
export interface Requested {
  readonly plugin: string;
  readonly path: readonly string[];
  readonly query: Readonly<Record<string, string>>;
}

/** What a policy said, and the SHA-256 of its text. */
export interface PolicyDecision {
  readonly allowed: boolean;
  readonly digest: string;
}

/** The one policy for all plugins (spec trustee 1.8). */
export class ResourcePolicy {
  readonly #storage: Storage;
  readonly #module: RegorusModule;
  readonly #policies: RegoCache;

  private constructor(storage: Storage, module: RegorusModule) {
    this.#storage = storage;
    this.#module = module;
    this.#policies = new RegoCache(module);
  }

  /** Puts the default where there is none. */
  static async open(storage: Storage, module: RegorusModule): Promise<ResourcePolicy> {
    await storage.setNew(Namespace.KBS, KEY, Buffer.from(DEFAULT_RESOURCE_POLICY));
    return new ResourcePolicy(storage, module);
  }

  /** Rejects with `policy-text`; the one in force stays then. */
  async set(text: string): Promise<void> {
    await checkPolicy(this.#module, KEY, text);
    await this.#storage.set(Namespace.KBS, KEY, Buffer.from(text));
  }

  async list(): Promise<readonly string[]> {
    const keys = await this.#storage.list(Namespace.KBS);
    return keys.filter((key) => key.endsWith(".rego")).map((key) => key.slice(0, -".rego".length));
  }

  /** Only true is yes. `claims`: the token's, as JSON. Rejects with `policy`. */
  async decide({ plugin, path, query }: Requested, claims: string): Promise<PolicyDecision> {
    const text = (await this.#storage.get(Namespace.KBS, KEY))?.toString("utf8");
    if (text === undefined) throw new TrusteeError("policy", "resource policy: expected one in storage");
    const data: Fields = { plugin, "resource-path": path, query };
    const question = { rules: [ALLOW], input: claims, data: JSON.stringify(data) };
    const { values } = await this.#policies.get("", text).ask(question);
    return { allowed: values[0] === "true", digest: createHash("sha256").update(text).digest("hex") };
  }
}
