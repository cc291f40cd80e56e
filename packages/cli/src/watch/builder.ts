import { type ChildProcess, fork } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";

import { NacreError } from "../error.ts";
import type { GuestKind } from "../guest/state.ts";
import { REPOSITORY } from "../repository.ts";

const PROGRAM: string = join(REPOSITORY, "guest-rootfs/watch/main.ts");

/** What the builder tells after a change of the sources; without `because` after its first build. */
export type BuildMessage = Built | BuildFailed;

export interface Built {
  /** Sources, relative to the repository. */
  readonly because: readonly string[];
  /** Files of the guest's /usr/lib/nacre that are others now. */
  readonly files: readonly string[];
  /** Where simulated guests take them from. */
  readonly folder: string;
  readonly milliseconds: number;
}

export interface BuildFailed {
  readonly because: readonly string[];
  /** What the compiler says. */
  readonly failed: string;
}

/** A process that builds the guest's daemons whenever their sources change. */
export class Builder implements Disposable {
  readonly #child: ChildProcess;
  readonly #messages: BuildMessage[] = [];
  #ended: string | undefined;
  #wake: () => void = () => {};

  private constructor(child: ChildProcess) {
    this.#child = child;
    child.on("message", (message: BuildMessage) => {
      this.#messages.push(message);
      this.#wake();
    });
    const over = (how: string): void => {
      this.#ended = how;
      this.#wake();
    };
    child.once("error", (error) => over(error.message));
    child.once("exit", (code, signal) => over(signal ?? `status ${String(code)}`));
  }

  /** Throws NacreError `environment` where there are no sources. */
  static start(kind: GuestKind): Builder {
    if (!existsSync(PROGRAM)) {
      throw new NacreError("environment", `--watch: expected the sources of the guest, ${PROGRAM} is missing`);
    }
    // Signals of the terminal are ours to understand; it ends with the channel.
    const options = { execArgv: ["--disable-warning=ExperimentalWarning"], detached: true };
    return new Builder(fork(PROGRAM, [kind], options));
  }

  /** The next message, at once when it is there. Rejects with the signal's reason, and when the builder has ended. */
  async next(signal: AbortSignal): Promise<BuildMessage> {
    const aborted = (): void => this.#wake();
    signal.addEventListener("abort", aborted);
    try {
      for (;;) {
        signal.throwIfAborted();
        const message = this.#messages.shift();
        if (message !== undefined) return message;
        if (this.#ended !== undefined) throw new NacreError("internal", `the builder ended with ${this.#ended}`);
        await new Promise<void>((wake) => (this.#wake = wake));
      }
    } finally {
      signal.removeEventListener("abort", aborted);
    }
  }

  [Symbol.dispose](): void {
    this.#child.removeAllListeners("exit");
    if (this.#child.connected) this.#child.disconnect();
    this.#child.unref();
  }
}
