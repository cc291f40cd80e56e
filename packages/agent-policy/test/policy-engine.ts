import { readFileSync } from "node:fs";
import { join } from "node:path";
import { PolicyEngine, type PolicyEngineOptions } from "../src/index.ts";

const bytes = readFileSync(join(import.meta.dirname, "../../regorus-wasm/regorus.wasm"));

/** An engine with this policy in force. */
export async function engineWith(policy: string, options: Partial<PolicyEngineOptions> = {}): Promise<PolicyEngine> {
  const engine = await PolicyEngine.create({ loadWasm: async () => bytes, ...options });
  await engine.setPolicy(policy);
  return engine;
}
