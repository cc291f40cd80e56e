import { readFileSync } from "node:fs";

/** A process that is not mistaken for a later one with its number. */
export interface ProcessIdentity {
  readonly pid: number;
  /** Clock ticks since the machine's start (proc(5), field 22 of stat). */
  readonly startTime: string;
  readonly bootId: string;
}

/** The process with this number now; undefined when there is none. */
export function identityOf(pid: number): ProcessIdentity | undefined {
  let stat: string;
  try {
    stat = readFileSync(`/proc/${pid}/stat`, "latin1");
  } catch {
    return undefined;
  }
  // The second field is the name in parentheses and may hold anything, also parentheses.
  const startTime = stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19];
  return startTime === undefined ? undefined : { pid, startTime, bootId: bootId() };
}

/** True while that very process exists, also as a zombie. */
export function isAlive(identity: ProcessIdentity | undefined): boolean {
  if (identity === undefined) return false;
  const now = identityOf(identity.pid);
  return now !== undefined && now.startTime === identity.startTime && now.bootId === identity.bootId;
}

/** Reads what {@link identityOf} made, from a file that may be damaged. */
export function parseIdentity(value: unknown): ProcessIdentity | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  const { pid, startTime, bootId } = value as Record<string, unknown>;
  if (typeof pid !== "number" || !Number.isInteger(pid) || pid < 2) return undefined;
  if (typeof startTime !== "string" || typeof bootId !== "string") return undefined;
  return { pid, startTime, bootId };
}

let boot: string | undefined;
function bootId(): string {
  boot ??= readFileSync("/proc/sys/kernel/random/boot_id", "latin1").trim();
  return boot;
}
