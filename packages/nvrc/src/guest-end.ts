import type { Effects } from "@nacre/kata-sys-util";

import { oneLine } from "./error.ts";
import type { Log } from "./log.ts";

/** The one process that may kill all others. */
export const INIT_PID = 1;

/** What the end of the guest does to processes; a fake in tests. */
export interface ProcessPort {
  readonly pid: number;
  /** Sends SIGKILL to every process that this one can see. */
  killAll(): void;
  exit(status: number): never;
}

const realProcesses: ProcessPort = {
  pid: process.pid,
  killAll: () => {
    try {
      process.kill(-1, "SIGKILL");
    } catch {
      // Nobody else is there.
    }
  },
  exit: (status) => process.exit(status),
};

/**
 * The end of the guest, once, in one place: every other process, then the power. In a pid namespace the end of its first
 * process ends the guest; on a machine the kernel is asked.
 */
export class GuestEnd {
  readonly #log: Log;
  readonly #effects: Effects;
  readonly #processes: ProcessPort;
  #begun = false;

  constructor(log: Log, effects: Effects, processes: ProcessPort = realProcesses) {
    this.#log = log;
    this.#effects = effects;
    this.#processes = processes;
  }

  /** Fail closed: whatever was thrown becomes one line of the log. What fails while the guest ends is no news. */
  readonly fail = (thrown: unknown): void => {
    if (this.#begun) return;
    this.#log.panic(oneLine(thrown));
    void this.powerOff(1);
  };

  readonly powerOff = async (status: number): Promise<void> => {
    if (this.#begun) return;
    this.#begun = true;
    try {
      // Any other process would see those of the whole machine, not of a guest.
      if (this.#processes.pid === INIT_PID) this.#processes.killAll();
      await this.#effects.powerOff();
    } catch (error) {
      this.#log.panic(`power off: ${oneLine(error)}`);
    }
    this.#processes.exit(status);
  };
}

/** From here on nothing that is thrown anywhere is lost. */
export function catchEverything(end: GuestEnd): void {
  process.on("uncaughtException", end.fail);
  process.on("unhandledRejection", end.fail);
}
