import { type ChildProcess, spawn, type StdioOptions } from "node:child_process";
import { once } from "node:events";

import { NacreError } from "../../error.ts";
import { identityOf, type ProcessIdentity } from "../identity.ts";

/** The process ends with the supervisor, however that ends. */
const WITH_SUPERVISOR: readonly string[] = ["/usr/bin/setpriv", "--pdeathsig", "KILL", "--"];

/** A process that belongs to one guest. */
export interface OwnProcess {
  readonly child: ChildProcess;
  readonly identity: ProcessIdentity;
  /** Resolves with how it ended. */
  readonly ended: Promise<string>;
}

/** Starts a program for a guest. Rejects with `environment`. */
export async function startOwnProcess(argv: readonly string[], stdio: StdioOptions): Promise<OwnProcess> {
  const [file = "", ...args] = [...WITH_SUPERVISOR, ...argv];
  const child = spawn(file, args, { stdio, env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin" }, cwd: "/" });
  const ended = new Promise<string>((resolve) => {
    child.once("error", (error) => resolve(error.message));
    child.once("exit", (code, signal) => resolve(signal ?? `status ${String(code)}`));
  });
  try {
    await once(child, "spawn");
  } catch (cause) {
    throw new NacreError("environment", `start ${argv[0]}`, { cause });
  }
  const identity = identityOf(child.pid ?? 0);
  if (identity === undefined) throw new NacreError("guest", `${argv[0]} ended with ${await ended}`);
  return { child, identity, ended };
}
