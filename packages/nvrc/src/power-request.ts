import type { Effects } from "@nacre/kata-sys-util";

import { NvrcError } from "./error.ts";

/** A container runtime's and systemd's request, that of a power failure, and Ctrl-Alt-Del. */
const SIGNALS: readonly NodeJS.Signals[] = ["SIGTERM", "SIGPWR", "SIGINT"];

/** Requests that the guest end. The kernel drops signals that its first process does not handle, so this comes first. */
export class PowerRequests {
  /** What a request leads to now. */
  handle: (signal: NodeJS.Signals) => void;

  constructor(handle: (signal: NodeJS.Signals) => void) {
    this.handle = handle;
    for (const signal of SIGNALS) process.on(signal, () => this.handle(signal));
  }
}

/** Ctrl-Alt-Del, which a host can press, becomes such a request and no restart. */
export async function catchCtrlAltDel(effects: Effects): Promise<void> {
  try {
    await effects.catchCtrlAltDel();
  } catch (cause) {
    throw new NvrcError("device", "take over Ctrl-Alt-Del", { cause });
  }
}
