import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";

import type { Effects } from "@nacre/kata-sys-util";

import { NvrcError } from "./error.ts";
import { LastWords } from "./last-words.ts";
import { writeStderr } from "./log.ts";
import { MALLOC_ENVIRONMENT, NODE_FLAGS } from "./node-flags.ts";

/** The interpreter and its flags are spelt out: nothing that the kernel put into our environment chooses them. */
export const AGENT_ARGV: readonly string[] = ["/usr/bin/node", ...NODE_FLAGS, "/usr/lib/nacre/kata-agent.mjs"];

/** A program cannot run without a search path: the OCI runtime looks for its helpers there. */
export const AGENT_ENVIRONMENT: Readonly<Record<string, string>> = {
  PATH: "/usr/sbin:/usr/bin:/sbin:/bin",
  ...MALLOC_ENVIRONMENT,
};

/** Upstream's: whatever else runs in the guest ends before the agent when memory runs out (section 1.5). */
const OOM_SCORE = -997;

/** How the agent ended: an exit code or the name of a signal. */
export type AgentEnd = { readonly code: number } | { readonly signal: string };

/** The running agent. */
export interface Agent {
  readonly ended: Promise<AgentEnd>;
  /** What it and its components said last on standard error. */
  readonly lastWords: LastWords;
  terminate(): void;
}

/** Starts kata-agent; resolves when it runs, which says nothing about its port. */
export async function startAgent(
  effects: Effects,
  environment: Readonly<Record<string, string>>,
  argv: readonly string[] = AGENT_ARGV,
): Promise<Agent> {
  const [file = "", ...args] = argv;
  const env = { ...AGENT_ENVIRONMENT, ...environment };
  const child = spawn(file, args, { env, cwd: "/", stdio: ["ignore", "inherit", "pipe"] });
  const lastWords = new LastWords([child.stderr], writeStderr);
  const ended = endOf(child);
  try {
    await once(child, "spawn");
    await effects.adjustOomScore(child.pid ?? 0, OOM_SCORE);
  } catch (cause) {
    throw new NvrcError("agent", `start ${argv.join(" ")}`, { cause });
  }
  return { ended, lastWords, terminate: () => void child.kill("SIGTERM") };
}

function endOf(child: ChildProcess): Promise<AgentEnd> {
  return new Promise((resolve) => {
    child.once("exit", (code, signal) => {
      const end = code === null ? { signal: signal ?? "unknown" } : { code };
      // What it wrote before lies in the pipe, and is read at the next turn of the event loop.
      setImmediate(() => setImmediate(() => resolve(end)));
    });
  });
}

/** As an operator reads it. */
export function describeEnd(end: AgentEnd): string {
  return "code" in end ? `status ${end.code}` : `signal ${end.signal}`;
}
