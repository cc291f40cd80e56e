import { NvrcError } from "../error.ts";
import type { GpuPorts } from "./ports.ts";

/** Upstream's: daemons of a machine with eight GPUs take their time (section 1.5). */
export const MARKER_DEADLINE_MS = 120_000;

/** Starts a daemon and waits until it says in syslog that it is ready. */
export async function startUntil(
  { start, waitForSyslog }: GpuPorts,
  argv: readonly string[],
  marker: string,
  deadlineMs: number = MARKER_DEADLINE_MS,
): Promise<void> {
  const late = new AbortController();
  const message = `${argv[0]}: expected ${JSON.stringify(marker)} in syslog within ${deadlineMs} ms, got nothing`;
  const timer = setTimeout(() => late.abort(new NvrcError("daemon", message)), deadlineMs);
  try {
    // Listened for before it can be said.
    await Promise.all([waitForSyslog(marker, late.signal), start(argv)]);
  } finally {
    clearTimeout(timer);
  }
}
