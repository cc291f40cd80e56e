import { existsSync, mkdirSync, readFileSync } from "node:fs";

import { hasCode, type MountCalls, type MountInfo, mountInfo, mountWithOptions } from "@nacre/kata-sys-util";

import { NvrcError } from "./error.ts";
import { hasFileSystem } from "./file-systems.ts";
import { runSizeKib } from "./run-size.ts";

/** One file system that a guest has before anything else runs. */
export interface MountPoint {
  readonly target: string;
  readonly type: string;
  readonly options: readonly string[];
  /** Sized by the memory of the guest. */
  readonly sized?: true;
}

const COMMON = ["nosuid", "noexec", "nodev", "relatime"];

/**
 * What is mounted, in order (section 1.3 and 2.1 of the specs). /run is not `noexec`: the root of a sandbox's container
 * lies there.
 */
export const MOUNTS: readonly MountPoint[] = [
  { target: "/proc", type: "proc", options: COMMON },
  { target: "/sys", type: "sysfs", options: COMMON },
  { target: "/dev", type: "devtmpfs", options: ["nosuid", "noexec", "mode=0755"] },
  { target: "/dev/shm", type: "tmpfs", options: ["nosuid", "nodev", "mode=1777"] },
  {
    target: "/dev/pts",
    type: "devpts",
    options: ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
  },
  { target: "/run", type: "tmpfs", options: ["nosuid", "nodev", "relatime", "mode=0755"], sized: true },
  { target: "/tmp", type: "tmpfs", options: ["nosuid", "nodev", "relatime", "mode=1777"] },
];

/** Mounted where the kernel has them. Reports of the TEE are made in configfs. */
export const OPTIONAL_MOUNTS: readonly MountPoint[] = [
  { target: "/sys/kernel/security", type: "securityfs", options: COMMON },
  { target: "/sys/kernel/config", type: "configfs", options: COMMON },
];

/** Where the kernel is shared with the machine its devices stay out of view, and nothing is written to its sysfs. */
const SHARED_KERNEL: readonly MountPoint[] = [
  { target: "/sys", type: "sysfs", options: ["nosuid", "noexec", "nodev", "ro"] },
  { target: "/dev", type: "tmpfs", options: ["nosuid", "strictatime", "mode=0755", "size=65536k"] },
];

/** The same for a simulated guest. */
export const SIMULATED_MOUNTS: readonly MountPoint[] = MOUNTS.map(
  (mount) => SHARED_KERNEL.find(({ target }) => target === mount.target) ?? mount,
);

/** Mounts what is not there yet. What is there with another type than expected ends the boot. */
export async function mountAll(sys: MountCalls, mounts: readonly MountPoint[]): Promise<void> {
  for (const mount of mounts) {
    const { target, type } = mount;
    // Looked at each time: a mount changes what lies below it.
    const present = topmost(await currentMounts(), target);
    if (present !== undefined) {
      if (present.fsType === type) continue;
      throw new NvrcError("mount", `mount ${target}: expected ${type}, got ${present.fsType}`);
    }
    try {
      if (target.startsWith("/dev/")) mkdirSync(target, { recursive: true, mode: 0o755 });
      await mountWithOptions(sys, type, target, type, optionsOf(mount));
    } catch (cause) {
      throw new NvrcError("mount", `mount ${type} on ${target}`, { cause });
    }
  }
}

/** Mounts what the kernel has and what has a place. */
export async function mountOptional(sys: MountCalls, mounts: readonly MountPoint[]): Promise<void> {
  const known = readFileSync("/proc/filesystems", "latin1");
  await mountAll(
    sys,
    mounts.filter(({ target, type }) => hasFileSystem(known, type) && existsSync(target)),
  );
}

function optionsOf({ options, sized }: MountPoint): readonly string[] {
  return sized === undefined ? options : [...options, `size=${runSizeKib(readFileSync("/proc/meminfo", "latin1"))}k`];
}

/** The mount that is seen at a path, if the path is a mount point. */
export function topmost(mounts: readonly MountInfo[], target: string): MountInfo | undefined {
  return mounts.findLast(({ mountPoint }) => mountPoint === target);
}

async function currentMounts(): Promise<readonly MountInfo[]> {
  try {
    return await mountInfo();
  } catch (error) {
    // Before /proc is there nothing else is.
    if (hasCode(error, "ENOENT")) return [];
    throw error;
  }
}
