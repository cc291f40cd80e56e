import type { Effects } from "@nacre/kata-sys-util";

import { oneLine } from "./error.ts";
import type { Log } from "./log.ts";

/** Ends every other process, then the guest. Does not return. */
export type PowerOff = (status: number) => Promise<never>;

/** The one process that may kill all others. */
export const INIT_PID = 1;

/** What powering off does to processes; a fake in tests. */
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

/** In a pid namespace the end of its first process ends the guest; on a machine the kernel is asked. */
export function powerOffBy(effects: Effects, processes: ProcessPort = realProcesses): PowerOff {
  return async (status) => {
    // Any other process would see those of the whole machine, not of a guest.
    if (processes.pid === INIT_PID) processes.killAll();
    await effects.powerOff();
    processes.exit(status);
  };
}

/** Fail closed, in one place: whatever is thrown anywhere becomes one line and the end of the guest. */
export function failClosed(log: Log, powerOff: PowerOff): (error: unknown) => void {
  const end = async (): Promise<void> => {
    try {
      await powerOff(1);
    } catch {
      process.exit(1);
    }
  };
  const fail = (thrown: unknown): void => {
    log(`panic: ${oneLine(thrown)}`);
    void end();
  };
  process.on("uncaughtException", fail);
  process.on("unhandledRejection", fail);
  return fail;
}
