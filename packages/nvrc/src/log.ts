import { writeSync } from "node:fs";

/** Lines for whoever watches the guest. */
export type Log = (message: string) => void;

/** Standard error, which is the guest's log; written at once, because a power-off waits for nothing. */
export const stderrLog: Log = (message) => {
  writeSync(2, `NVRC ${message}\n`);
};
