import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";

import { NvrcError } from "./error.ts";

/**
 * Node's flags for a daemon that is idle nearly always: a small nursery, no threads that wait for compilations, no
 * middle compiler (the optimising one stays). Together 4 MB of an idle agent. And no debugger by a signal.
 */
export const AGENT_FLAGS: readonly string[] = [
  "--disable-sigusr1",
  "--max-semi-space-size=1",
  "--v8-pool-size=0",
  "--no-maglev",
];

/** The interpreter and its flags are spelt out: nothing that the kernel put into our environment chooses them. */
export const AGENT_ARGV: readonly string[] = ["/usr/bin/node", ...AGENT_FLAGS, "/usr/lib/nacre/kata-agent.mjs"];

/**
 * A program cannot run without a search path: the OCI runtime looks for its helpers there. One heap of the C library
 * that gives back what it can, instead of one a thread: 1 MB of an idle agent.
 */
export const AGENT_ENVIRONMENT: Readonly<Record<string, string>> = {
  PATH: "/usr/sbin:/usr/bin:/sbin:/bin",
  MALLOC_ARENA_MAX: "1",
  MALLOC_TRIM_THRESHOLD_: "65536",
  MALLOC_TOP_PAD_: "4096",
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
