import { NvrcError } from "./error.ts";

/**
 * What kernel and daemons need beside the images that are pulled into /run, in KiB. A share of the memory, upstream's
 * half, would take a gigabyte from pulls in a guest of two, and leave too little for anything else in a small one.
 */
const RESERVE_KIB = 512 * 1024;

/** The size of /run in KiB by /proc/meminfo: all but a reserve, and half where that is more. */
export function runSizeKib(procMeminfo: string): number {
  const total = Number(/^MemTotal:\s+(\d{1,15}) kB$/mu.exec(procMeminfo)?.[1] ?? Number.NaN);
  if (!(total > 0)) throw new NvrcError("mount", "/proc/meminfo: expected MemTotal, got none");
  return Math.max(Math.floor(total / 2), total - RESERVE_KIB);
}
