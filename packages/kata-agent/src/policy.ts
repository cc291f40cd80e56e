import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";

import { PolicyEngine } from "@nacre/agent-policy";

import { internalError } from "./error.ts";
import type { Logger } from "./log.ts";
import { policyDeadline } from "./policy-deadline.ts";

/** The engine with the policy that is in force until SetPolicy (section 2.2, step 6). Any failure ends the start. */
export async function loadPolicy(path: string, log: Logger): Promise<PolicyEngine> {
  try {
    const wasm = await readFile(wasmPath());
    const [engine, text] = await Promise.all([
      PolicyEngine.create({ loadWasm: () => Promise.resolve(wasm), deadline: policyDeadline }),
      readFile(path, "utf8"),
    ]);
    // The compiled module has its own copy; this one's 2 MB would stay until the next full collection.
    wasm.buffer.transfer(0);
    await engine.setPolicy(text, path);
    await engine.warmUp();
    log.info("policy in force", { file: path, sha256: engine.digest });
    return engine;
  } catch (cause) {
    throw internalError(`policy ${path}`, cause);
  }
}

/** The engine's code lies beside the bundle in a guest, and in its own package when run from source. */
function wasmPath(): URL {
  const beside = new URL("regorus.wasm", import.meta.url);
  return existsSync(beside) ? beside : new URL(import.meta.resolve("regorus-wasm/regorus.wasm"));
}
