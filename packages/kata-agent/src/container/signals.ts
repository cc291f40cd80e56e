export const SIGKILL = 9;
export const SIGTERM = 15;

/**
 * Whether SIGTERM would be lost on a process: it neither blocks nor ignores nor handles it (spec 3.8). The first
 * process of a pid namespace does not get signals without a handler, so it would live on. `status` is the text of
 * /proc/PID/status; when it is gone or unreadable nothing is upgraded.
 */
export function needsKill(status: string | undefined): boolean {
  if (status === undefined) return false;
  const bit = 1n << BigInt(SIGTERM - 1);
  let seen = 0;
  for (const [, mask] of status.matchAll(/^Sig(?:Blk|Ign|Cgt):\s*([0-9a-f]+)$/gm)) {
    seen += 1;
    if ((BigInt(`0x${mask}`) & bit) !== 0n) return false;
  }
  return seen === 3;
}
