import type { Effects } from "@nacre/kata-sys-util";

import { oneLine } from "./error.ts";
import type { Log } from "./log.ts";

/** Ends every other process, then the guest. Does not return. */
export type PowerOff = (status: number) => Promise<never>;

/** In a pid namespace the end of its first process ends the guest; on a machine the kernel is asked. */
export function powerOffBy(effects: Effects): PowerOff {
  return async (status) => {
    try {
      process.kill(-1, "SIGKILL");
    } catch {
      // Nobody else is there.
    }
    await effects.powerOff();
    process.exit(status);
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
