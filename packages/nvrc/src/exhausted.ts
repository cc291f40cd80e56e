import { readFileSync } from "node:fs";

import type { MountCalls } from "@nacre/kata-sys-util";

/** How many processes the kernel has ended for want of memory. */
export function oomKills(): number {
  return parseOomKills(readFileSync("/proc/vmstat", "latin1"));
}

/** By /proc/vmstat; 0 where it does not say. */
export function parseOomKills(procVmstat: string): number {
  return Number(/^oom_kill (\d{1,15})$/mu.exec(procVmstat)?.[1] ?? 0);
}

/** What has run out, as the rest of a message that says what ended; empty where nothing has. */
export async function exhausted(sys: Pick<MountCalls, "statfs">, killsBefore: number): Promise<string> {
  const kills = oomKills() - killsBefore;
  const memory = kills > 0 ? [`memory is exhausted, processes ended by the kernel: ${kills}`] : [];
  const { bavail, ffree } = await sys.statfs("/run");
  const run = bavail === 0n || ffree === 0n ? ["/run is full"] : [];
  return [...memory, ...run].map((text) => `; ${text}`).join("");
}
