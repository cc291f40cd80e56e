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
  const fields = statFields(pid);
  return fields === undefined ? undefined : { pid, startTime: fields.startTime, bootId: bootId() };
}

function statFields(pid: number): { readonly state: string; readonly startTime: string } | undefined {
  let stat: string;
  try {
    stat = readFileSync(`/proc/${pid}/stat`, "latin1");
  } catch {
    return undefined;
  }
  // The second field is the name in parentheses and may hold anything, also parentheses.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const [state, startTime] = [fields[0], fields[19]];
  return state === undefined || startTime === undefined ? undefined : { state, startTime };
}

/**
 * True while that very process runs. A zombie does nothing any more; where the machine's first process collects none, as
 * in many containers, it stays for good.
 */
export function isAlive(identity: ProcessIdentity | undefined): boolean {
  if (identity === undefined) return false;
  const fields = statFields(identity.pid);
  if (fields === undefined || fields.state === "Z" || fields.state === "X") return false;
  return fields.startTime === identity.startTime && bootId() === identity.bootId;
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
