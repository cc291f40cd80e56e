import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import type { Duplex } from "node:stream";

import { NacreError } from "../error.ts";
import { entryCommand } from "./entry.ts";
import { identityOf, type ProcessIdentity } from "./identity.ts";
import type { GuestLayout } from "./layout.ts";

/** Every namespace but the one of control groups, which the process makes when it is in its own group. */
const UNSHARE: readonly string[] = [
  "/usr/bin/unshare",
  "--mount",
  "--pid",
  "--net",
  "--uts",
  "--ipc",
  "--fork",
  "--kill-child=SIGKILL",
  "--propagation",
  "private",
  "--",
];
/** The launcher ends with the supervisor however that ends, and the guest with the launcher. */
const WITH_SUPERVISOR: readonly string[] = ["/usr/bin/setpriv", "--pdeathsig", "KILL", "--"];

/** A guest whose first process stands in its namespaces and waits. */
export interface LaunchedGuest {
  readonly launcher: ProcessIdentity;
  readonly init: ProcessIdentity;
  /** Lets it go on; once. */
  go(): void;
  /** How the first process ended. */
  readonly ended: Promise<string>;
}

/** Starts the first process; its output goes to `logFd`. */
export async function launchGuest(root: string, layout: GuestLayout, logFd: number): Promise<LaunchedGuest> {
  const [file, ...args] = [...WITH_SUPERVISOR, ...UNSHARE, ...entryCommand("stage-main"), root, layout.id];
  const child = spawn(file, args, {
    stdio: ["ignore", logFd, logFd, "pipe"],
    env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin" },
    cwd: "/",
  });
  const ended = endOf(child);
  const channel = child.stdio[3] as Duplex;
  channel.on("error", () => {});
  const early = ended.then((how) => {
    throw new NacreError("guest", `the guest's first process ended with ${how} before it began`);
  });
  early.catch(() => {});
  await Promise.race([once(channel, "data"), early]);
  const launcher = identityOf(child.pid ?? 0);
  const init = identityOf(onlyChild(child.pid ?? 0));
  if (launcher === undefined || init === undefined) {
    throw new NacreError("guest", `the guest's first process ended with ${await ended} before it began`);
  }
  return { launcher, init, go: () => void channel.end("!"), ended };
}

function onlyChild(pid: number): number {
  return Number(readFileSync(`/proc/${pid}/task/${pid}/children`, "latin1").trim().split(" ")[0]);
}

function endOf(child: ChildProcess): Promise<string> {
  return new Promise((resolve) => {
    child.once("error", (error) => resolve(error.message));
    child.once("exit", (code, signal) => resolve(signal ?? `status ${String(code)}`));
  });
}
