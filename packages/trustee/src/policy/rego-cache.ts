import { RegoPolicy, type RegorusModule } from "./rego.ts";

/** Policies kept ready; a broker has one for resources and a handful for evidence. */
const KEPT = 16;

/** Engines by the very texts they were made from, so that a policy that was replaced is never asked again. */
export class RegoCache {
  readonly #module: RegorusModule;
  readonly #helper: readonly (readonly [string, string])[];
  readonly #policies = new Map<string, RegoPolicy>();

  /** `helper`: files that go along with each policy. */
  constructor(module: RegorusModule, helper: readonly (readonly [string, string])[] = []) {
    this.#module = module;
    this.#helper = helper;
  }

  get(name: string, text: string): RegoPolicy {
    const key = `${name}\0${text}`;
    let policy = this.#policies.get(key);
    if (policy === undefined) {
      policy = new RegoPolicy(this.#module, [[name, text], ...this.#helper]);
      const [oldest] = this.#policies.keys();
      if (this.#policies.size >= KEPT && oldest !== undefined) this.#policies.delete(oldest);
    } else this.#policies.delete(key);
    this.#policies.set(key, policy);
    return policy;
  }
}
