import { type ChildProcess, spawn } from "node:child_process";

import { NvrcError } from "./error.ts";
import { LastWords } from "./last-words.ts";
import type { Log } from "./log.ts";

/**
 * A helper that has not ended by then never will: the slowest, a driver on a machine of eight GPUs, takes half a minute.
 * A bound on hanging; upstream waits for ever.
 */
export const HELPER_DEADLINE_MS = 120_000;

/** The whole environment of helpers and daemons. */
export const HELPER_ENVIRONMENT: Readonly<Record<string, string>> = { PATH: "/usr/sbin:/usr/bin:/sbin:/bin" };

/** Runs a program to its end; rejects with `helper` unless that is status 0. */
export type RunHelper = (argv: readonly string[]) => Promise<void>;

/** Helpers of this guest: argument arrays, absolute paths, no shell, an environment of one variable. */
export function helperRunner(log: Log, deadlineMs: number = HELPER_DEADLINE_MS): RunHelper {
  return async (argv) => {
    log.debug(argv.join(" "));
    const [file = "", ...args] = argv;
    const child = spawn(file, args, { env: HELPER_ENVIRONMENT, cwd: "/", stdio: ["ignore", "pipe", "pipe"] });
    const words = new LastWords([child.stdout, child.stderr], (text) => log.debug(text.trimEnd()));
    const timer = setTimeout(() => {
      child.kill("SIGKILL");
      // Something that it started may hold its output open.
      child.stdout.destroy();
      child.stderr.destroy();
    }, deadlineMs);
    const end = await endOf(child);
    clearTimeout(timer);
    if (end === "status 0") return;
    const late = child.killed ? ` after ${deadlineMs} ms without an end` : "";
    throw new NvrcError("helper", `${file}: expected status 0, got ${end}${late}${words.toString()}`);
  };
}

function endOf(child: ChildProcess): Promise<string> {
  return new Promise((resolve, reject) => {
    child.once("error", (cause) => {
      reject(new NvrcError("helper", `start ${child.spawnfile}`, { cause }));
    });
    // Not before its output is read whole.
    child.once("close", (code, signal) => resolve(code === null ? `signal ${String(signal)}` : `status ${code}`));
  });
}
