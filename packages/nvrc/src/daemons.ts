import { spawn } from "node:child_process";
import { once } from "node:events";
import { basename } from "node:path";

import type { ExitStatus } from "@nacre/kata-sys-util";

import { NvrcError } from "./error.ts";
import { HELPER_ENVIRONMENT } from "./helper.ts";
import type { Log } from "./log.ts";

/** The kernel keeps so much of a program's name (TASK_COMM_LEN less its NUL). */
const COMM_LENGTH = 15;

/** Starts a daemon; resolves when it runs, which says nothing about whether it is ready. */
export type StartDaemon = (argv: readonly string[]) => Promise<void>;

export interface DaemonsOptions {
  readonly log: Log;
  /** Where a daemon's output goes: a descriptor, or nowhere. */
  readonly output: () => number | "ignore";
  /** Ends the guest. */
  readonly fail: (error: unknown) => void;
}

/**
 * The daemons that init started, watched as long as the guest lives. One that ends with status 0 is finished, or has gone
 * on in a child that has become init's, as most of them do; any other end, of it or of such a child, is the guest's.
 */
export class Daemons {
  readonly #options: DaemonsOptions;
  /** By the name that the kernel has of them: a child that forked off keeps it. */
  readonly #files = new Map<string, string>();

  constructor(options: DaemonsOptions) {
    this.#options = options;
  }

  readonly start: StartDaemon = async (argv) => {
    const { log } = this.#options;
    const [file = "", ...args] = argv;
    log.debug(argv.join(" "));
    const output = this.#options.output();
    this.#files.set(basename(file).slice(0, COMM_LENGTH), file);
    const child = spawn(file, args, { env: HELPER_ENVIRONMENT, cwd: "/", stdio: ["ignore", output, output] });
    child.once("exit", (code, signal) => this.#ended(file, code, signal));
    try {
      await once(child, "spawn");
    } catch (cause) {
      throw new NvrcError("daemon", `start ${file}`, { cause });
    }
  };

  /** For the reaper: an orphan ended. */
  readonly orphanEnded = ({ code, signal }: ExitStatus, name: string): void => {
    const file = this.#files.get(name);
    if (file !== undefined) this.#ended(file, code ?? null, signal ?? null);
  };

  #ended(file: string, code: number | null, signal: string | number | null): void {
    if (code === 0) {
      this.#options.log.debug(`${file} ended with status 0`);
      return;
    }
    const end = code === null ? `signal ${String(signal)}` : `status ${code}`;
    this.#options.fail(new NvrcError("daemon", `${file} ended with ${end}`));
  }
}
