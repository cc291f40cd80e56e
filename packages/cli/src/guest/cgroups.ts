import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { hasCode, type MountInfo, mountInfo } from "@nacre/kata-sys-util";

import { identityOf } from "./identity.ts";
import { killProcess } from "./process-end.ts";

/** Rounds of killing; whatever forks faster than it is killed must not keep us for ever. */
const KILL_ROUNDS = 64;

/** Limits of a guest as a whole. */
export interface GuestLimits {
  /** Bytes of memory; absent: no limit. */
  readonly memoryBytes?: number;
  /** Processor time, in processors; absent: no limit. */
  readonly cpus?: number;
}

/** The kernel's default period of processor time, in microseconds. */
const CPU_PERIOD_US = 100_000;

/** One place per hierarchy where groups can be made. */
export function hierarchyRoots(mounts: readonly MountInfo[]): readonly string[] {
  const roots = new Map<string, string>();
  for (const { fsType, mountPoint, major, minor } of mounts) {
    if (fsType !== "cgroup" && fsType !== "cgroup2") continue;
    // The same hierarchy may be mounted in several places.
    const key = `${major}:${minor}`;
    if (!roots.has(key) && mountPoint.startsWith("/sys/fs/cgroup")) roots.set(key, mountPoint);
  }
  return [...roots.values()];
}

/** Makes the guest's own group in every hierarchy of the machine. */
export async function createCgroups(name: string, limits: GuestLimits): Promise<void> {
  for (const root of hierarchyRoots(await mountInfo())) {
    offerControllers(root);
    const group = join(root, name);
    mkdirSync(group, { mode: 0o755 });
    for (const file of ["cpuset.cpus", "cpuset.mems"]) {
      // On version 1 a new group has neither and takes no process until it has both.
      if (existsSync(join(root, "tasks")) && existsSync(join(group, file))) {
        writeFileSync(join(group, file), readFileSync(join(root, file)));
      }
    }
    if (limits.memoryBytes !== undefined) limitMemory(group, limits.memoryBytes);
    if (limits.cpus !== undefined) limitProcessors(group, limits.cpus);
  }
}

/** Puts a process into the guest's group of every hierarchy. */
export async function joinCgroups(name: string, pid: number): Promise<void> {
  for (const root of hierarchyRoots(await mountInfo())) writeFileSync(join(root, name, "cgroup.procs"), String(pid));
}

/** Ends every process of the guest's groups and removes them, those below included. */
export async function removeCgroups(name: string): Promise<void> {
  const groups = hierarchyRoots(await mountInfo()).map((root) => join(root, name));
  for (const group of groups) await emptyGroup(group);
  for (const group of groups) removeGroup(group);
}

/** Processes of a guest, those of its containers among them, as this machine numbers them. */
export async function guestProcesses(name: string): Promise<readonly number[]> {
  const [root] = hierarchyRoots(await mountInfo());
  return root === undefined ? [] : processesBelow(join(root, name));
}

/** Version 2 gives a group the controllers that its parent offers; a parent that cannot is left as it is. */
function offerControllers(root: string): void {
  const file = join(root, "cgroup.subtree_control");
  if (!existsSync(file)) return;
  for (const controller of readFileSync(join(root, "cgroup.controllers"), "utf8").trim().split(" ").filter(Boolean)) {
    try {
      writeFileSync(file, `+${controller}`);
    } catch (error) {
      // Such as `cpu` beside real-time processes: containers that ask for it will say so.
      if (!hasCode(error, "EINVAL") && !hasCode(error, "EBUSY") && !hasCode(error, "EOPNOTSUPP")) throw error;
    }
  }
}

function limitMemory(group: string, bytes: number): void {
  for (const file of ["memory.max", "memory.limit_in_bytes"]) {
    if (existsSync(join(group, file))) writeFileSync(join(group, file), String(bytes));
  }
}

function limitProcessors(group: string, cpus: number): void {
  const quota = Math.max(1000, Math.round(cpus * CPU_PERIOD_US));
  const values: readonly (readonly [file: string, value: string])[] = [
    ["cpu.max", `${quota} ${CPU_PERIOD_US}`],
    ["cpu.cfs_period_us", String(CPU_PERIOD_US)],
    ["cpu.cfs_quota_us", String(quota)],
  ];
  for (const [file, value] of values) if (existsSync(join(group, file))) writeFileSync(join(group, file), value);
}

async function emptyGroup(group: string): Promise<void> {
  for (let round = 0; round < KILL_ROUNDS; round += 1) {
    const identities = processesBelow(group).flatMap((pid) => identityOf(pid) ?? []);
    if (identities.length === 0) return;
    thaw(group);
    await Promise.all(identities.map((identity) => killProcess(identity)));
  }
}

/** A frozen process does not notice that it was killed. */
function thaw(group: string): void {
  for (const folder of groupsBelow(group)) {
    for (const [file, value] of [
      ["freezer.state", "THAWED"],
      ["cgroup.freeze", "0"],
    ] as const) {
      if (existsSync(join(folder, file))) writeFileSync(join(folder, file), value);
    }
  }
}

function processesBelow(group: string): number[] {
  return groupsBelow(group).flatMap((folder) =>
    readFileSync(join(folder, "cgroup.procs"), "latin1")
      .split("\n")
      .map(Number)
      .filter((pid) => pid > 1),
  );
}

/** The group and all below it, the innermost last. */
function groupsBelow(group: string): string[] {
  if (!existsSync(group)) return [];
  const below = readdirSync(group, { withFileTypes: true }).filter((entry) => entry.isDirectory());
  return [group, ...below.flatMap(({ name }) => groupsBelow(join(group, name)))];
}

function removeGroup(group: string): void {
  for (const folder of groupsBelow(group).toReversed()) {
    try {
      rmdirSync(folder);
    } catch (error) {
      // Another command may be clearing up the same guest.
      if (!hasCode(error, "ENOENT")) throw error;
    }
  }
}
