import { spawn } from "node:child_process";
import { once } from "node:events";

import { NacreError } from "../error.ts";

/** Longest output that is kept of a tool; more is cut off. */
const MAX_OUTPUT = 64 * 1024;

/** Runs an external tool by an argument array, never through a shell, and resolves with its standard output. */
export async function runTool(argv: readonly string[], input = ""): Promise<string> {
  const [file = "", ...args] = argv;
  const child = spawn(file, args, { stdio: ["pipe", "pipe", "pipe"], env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin" } });
  let out = "";
  let err = "";
  child.stdout.on("data", (chunk: Buffer) => (out = (out + chunk.toString()).slice(0, MAX_OUTPUT)));
  child.stderr.on("data", (chunk: Buffer) => (err = (err + chunk.toString()).slice(0, MAX_OUTPUT)));
  // A tool that ends early does not read on.
  child.stdin.on("error", () => {});
  child.stdin.end(input);
  let code: unknown;
  try {
    [code] = await once(child, "close");
  } catch (cause) {
    throw new NacreError("environment", `run ${file}`, { cause });
  }
  if (code !== 0) throw new NacreError("environment", `${argv.join(" ")}: ${err.trim() || `exit ${String(code)}`}`);
  return out;
}
