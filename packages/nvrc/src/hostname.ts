import { readFileSync } from "node:fs";

import { hasCode, type ProcessCalls } from "@nacre/kata-sys-util";

/** The name in /etc/hostname, else `localhost` (section 2.1 of the agent's spec). */
export function setHostname(sys: ProcessCalls, path = "/etc/hostname"): void {
  sys.sethostname(readName(path));
}

function readName(path: string): string {
  try {
    return /^[A-Za-z0-9.-]{1,64}$/u.exec(readFileSync(path, "utf8").trim())?.[0] ?? "localhost";
  } catch (error) {
    if (hasCode(error, "ENOENT")) return "localhost";
    throw error;
  }
}
