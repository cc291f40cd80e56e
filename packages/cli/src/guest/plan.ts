import { readFileSync } from "node:fs";

/** What the guest is put together from; written by the starter, read by the supervisor and inside the namespaces. */
export interface GuestPlan {
  /** The read-only root directory. */
  readonly tree: string;
  readonly memoryBytes: number | undefined;
  readonly cpus: number | undefined;
  readonly files: readonly PlannedFile[];
  /** Longest time from start to an agent that answers, in milliseconds. */
  readonly startTimeoutMs: number;
}

/** A file that is added to the root: `from` is a path on this machine. */
export interface PlannedFile {
  readonly path: string;
  readonly from: string;
  readonly mode: number;
}

export function readPlan(path: string): GuestPlan {
  return JSON.parse(readFileSync(path, "utf8")) as GuestPlan;
}
