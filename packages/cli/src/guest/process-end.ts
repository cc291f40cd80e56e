import { closeSync } from "node:fs";

import { hasCode, linuxSyscalls } from "@nacre/kata-sys-util";

import { isAlive, type ProcessIdentity } from "./identity.ts";

const SIGNALS = { SIGTERM: 15, SIGKILL: 9 } as const;

/**
 * Resolves when the process has ended, at once if it has. A descriptor of the process tells, so nothing is polled and
 * another process with the same number is not waited for.
 */
export async function processEnd(identity: ProcessIdentity, signal?: AbortSignal): Promise<void> {
  const sys = linuxSyscalls();
  let fd: number;
  try {
    fd = sys.pidfdOpen(identity.pid);
  } catch (error) {
    if (hasCode(error, "ESRCH")) return;
    throw error;
  }
  try {
    // The descriptor holds whoever has the number now; from here on it cannot change.
    if (!isAlive(identity)) return;
    await new Promise<void>((resolve, reject) => {
      const watch = sys.poll(fd, { readable: true }, ({ error }) => {
        watch.close();
        signal?.removeEventListener("abort", aborted);
        if (error === undefined) resolve();
        else reject(error);
      });
      const aborted = (): void => {
        watch.close();
        reject(signal?.reason as Error);
      };
      signal?.addEventListener("abort", aborted, { once: true });
      if (signal?.aborted === true) aborted();
      else watch.start();
    });
  } finally {
    closeSync(fd);
  }
}

/** Sends a signal to that very process; false when it is gone. */
export function sendSignal(identity: ProcessIdentity, signal: keyof typeof SIGNALS): boolean {
  const sys = linuxSyscalls();
  let fd: number;
  try {
    fd = sys.pidfdOpen(identity.pid);
  } catch (error) {
    if (hasCode(error, "ESRCH")) return false;
    throw error;
  }
  try {
    if (!isAlive(identity)) return false;
    sys.pidfdSendSignal(fd, SIGNALS[signal]);
    return true;
  } catch (error) {
    if (hasCode(error, "ESRCH")) return false;
    throw error;
  } finally {
    closeSync(fd);
  }
}

/** Kills that very process and waits for its end. */
export async function killProcess(identity: ProcessIdentity | undefined): Promise<void> {
  if (identity !== undefined && sendSignal(identity, "SIGKILL")) await processEnd(identity);
}
