import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";

import { NvrcError } from "./error.ts";
import { MALLOC_ENVIRONMENT, NODE_FLAGS } from "./node-flags.ts";

/** The interpreter and its flags are spelt out: nothing that the kernel put into our environment chooses them. */
export const AGENT_ARGV: readonly string[] = ["/usr/bin/node", ...NODE_FLAGS, "/usr/lib/nacre/kata-agent.mjs"];

/** A program cannot run without a search path: the OCI runtime looks for its helpers there. */
export const AGENT_ENVIRONMENT: Readonly<Record<string, string>> = {
  PATH: "/usr/sbin:/usr/bin:/sbin:/bin",
  ...MALLOC_ENVIRONMENT,
};

/** How the agent ended: an exit code or the name of a signal. */
export type AgentEnd = { readonly code: number } | { readonly signal: string };

/** The running agent. */
export interface Agent {
  readonly ended: Promise<AgentEnd>;
  terminate(): void;
}

/** Starts kata-agent; resolves when it runs, which says nothing about its port. */
export async function startAgent(argv: readonly string[] = AGENT_ARGV): Promise<Agent> {
  const [file = "", ...args] = argv;
  const child = spawn(file, args, { env: AGENT_ENVIRONMENT, cwd: "/", stdio: ["ignore", "inherit", "inherit"] });
  const ended = endOf(child);
  try {
    await once(child, "spawn");
  } catch (cause) {
    throw new NvrcError("agent", `start ${argv.join(" ")}`, { cause });
  }
  return { ended, terminate: () => void child.kill("SIGTERM") };
}

function endOf(child: ChildProcess): Promise<AgentEnd> {
  return new Promise((resolve) => {
    child.once("exit", (code, signal) => resolve(code === null ? { signal: signal ?? "unknown" } : { code }));
  });
}
