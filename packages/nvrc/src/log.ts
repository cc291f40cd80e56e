import { closeSync, constants, openSync, writeSync } from "node:fs";

/** Lines for whoever watches the guest. */
export type Log = (message: string) => void;

/** What ends the guest is above every console level that a kernel command line can set. */
const KERN_EMERG = 0;
const KERN_INFO = 6;
/** The kernel refuses a longer record (LOG_LINE_MAX less its own prefix). */
export const MAX_KMSG = 900;

/** Standard error, which is the guest's log; written at once, because a power-off waits for nothing. */
export const stderrLog: Log = (message) => {
  writeSync(2, `NVRC ${message}\n`);
};

/** The kernel's log: it reaches the console before the power goes, which a buffered line may not. */
export const kmsgLog: Log = (message) => {
  const priority = message.startsWith("panic: ") ? KERN_EMERG : KERN_INFO;
  try {
    // Opened for each line: the kernel limits the rate of lines by descriptor.
    const fd = openSync("/dev/kmsg", constants.O_WRONLY);
    writeSync(fd, kmsgRecord(priority, `NVRC ${message}`));
    closeSync(fd);
  } catch {
    stderrLog(message);
  }
};

/** One record of the kernel's log: a line, cut to what the kernel takes. */
export function kmsgRecord(priority: number, text: string): Buffer {
  const line = Buffer.from(text.replaceAll(/[\0-\x1f\x7f]+/gu, " "));
  return Buffer.concat([Buffer.from(`<${priority}>`), line.subarray(0, MAX_KMSG), Buffer.from("\n")]);
}
