import { closeSync, openSync, readFileSync } from "node:fs";

import { DEFAULT_LIMITS, type PolicyEngineOptions, scriptDeadline } from "@nacre/agent-policy";

/** More descriptors than Node takes for the thread that ends a call. */
const DESCRIPTORS = 6;

/** Part of the guest's tasks above which no thread is started: a container that forks may take the rest meanwhile. */
const TASKS = 0.9;

/** Where the guest's own control group counts its tasks, if it has a limit: version 1, version 2. */
const GROUPS = ["/sys/fs/cgroup/pids", "/sys/fs/cgroup"];

const bounded = scriptDeadline(DEFAULT_LIMITS.deadlineMs);

/**
 * The bound on calls into the policy engine. It takes a thread with descriptors of its own, and Node ends the process
 * when it gets neither: a host that opens connections, or a container that forks, would take the guest down with it.
 * Where there is no room the call is bounded by the interpreter's own timer alone.
 */
export const policyDeadline: NonNullable<PolicyEngineOptions["deadline"]> = (work) =>
  hasDescriptors() && hasTasks() ? bounded(work) : work();

function hasDescriptors(): boolean {
  const free: number[] = [];
  try {
    while (free.length < DESCRIPTORS) free.push(openSync("/", "r"));
    return true;
  } catch {
    return false;
  } finally {
    for (const fd of free) closeSync(fd);
  }
}

/** Most tasks that the kernel has at a time; nobody changes it while the guest runs. */
let limit: number | undefined;

function hasTasks(): boolean {
  // `0.20 0.18 0.12 1/80 11206`: 80 tasks in all.
  const tasks = Number(/\/(\d+) /.exec(read("/proc/loadavg"))?.[1]);
  limit ??= Math.min(number("/proc/sys/kernel/threads-max"), number("/proc/sys/kernel/pid_max"));
  if (tasks > limit * TASKS) return false;
  return GROUPS.every((group) => !(number(`${group}/pids.current`) > number(`${group}/pids.max`) * TASKS));
}

/** NaN, which is not above anything, for what is no number: an absent file, or the word `max`. */
function number(path: string): number {
  return Number.parseInt(read(path), 10);
}

function read(path: string): string {
  try {
    return readFileSync(path, "latin1");
  } catch {
    return "";
  }
}
