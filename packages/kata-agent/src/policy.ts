import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { setFlagsFromString } from "node:v8";

import { PolicyEngine } from "@nacre/agent-policy";

import { internalError } from "./error.ts";
import { disclosure } from "./flavour.ts";
import type { Logger } from "./log.ts";

/**
 * The engine with the policy that is in force until SetPolicy (section 2.2, steps 6 and 12): that of the file, then that
 * of initdata where it brings one, which is put to no rule. Any failure ends the start.
 */
export async function loadPolicy(path: string, log: Logger, fromInitdata?: string): Promise<PolicyEngine> {
  const engine = await defaultPolicy(path);
  const { digest } = engine;
  if (fromInitdata !== undefined) await replace(engine, fromInitdata);
  await engine.warmUp();
  if (fromInitdata === undefined) log.info("policy in force", { file: path, sha256: digest });
  else log.info("policy of initdata in force", { sha256: engine.digest, replaced_sha256: digest });
  return engine;
}

/**
 * The engine's functions are checked when they are first called, instead of all 3 MB of them at the start, four fifths
 * of the time that compiling takes. The file is the image's own, and a function that is no valid code is a trap then.
 */
function withLazyValidation(): void {
  setFlagsFromString("--wasm-lazy-validation");
}

async function defaultPolicy(path: string): Promise<PolicyEngine> {
  try {
    withLazyValidation();
    const { texts, explanations } = disclosure();
    const wasm = await readFile(wasmPath());
    const [engine, text] = await Promise.all([
      PolicyEngine.create({
        loadWasm: () => Promise.resolve(wasm),
        prints: texts ? "refusals" : "never",
        explain: explanations,
      }),
      readFile(path, "utf8"),
    ]);
    // The compiled module has its own copy; this one's 2 MB would stay until the next full collection.
    wasm.buffer.transfer(0);
    await engine.setPolicy(text, path);
    return engine;
  } catch (cause) {
    throw internalError(`policy ${path}`, cause);
  }
}

async function replace(engine: PolicyEngine, text: string): Promise<void> {
  try {
    await engine.setPolicy(text);
  } catch (error) {
    // One line, the last that such a guest says.
    const message = error instanceof Error ? error.message : String(error);
    throw internalError(`policy of initdata: ${message.trim().replaceAll(/\s+/gu, " ")}`);
  }
}

/** The engine's code lies beside the bundle in a guest, and in its own package when run from source. */
function wasmPath(): URL {
  const beside = new URL("regorus.wasm", import.meta.url);
  return existsSync(beside) ? beside : new URL(import.meta.resolve("regorus-wasm/regorus.wasm"));
}
