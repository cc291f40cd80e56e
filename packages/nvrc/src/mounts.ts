import { mkdirSync } from "node:fs";

import { hasCode, type MountCalls, type MountInfo, mountInfo, mountWithOptions } from "@nacre/kata-sys-util";

import { NvrcError } from "./error.ts";

/** One file system that a guest has before anything else runs. */
export interface MountPoint {
  readonly target: string;
  readonly type: string;
  readonly options: readonly string[];
}

/**
 * What is mounted, in order (section 1.3 and 2.1 of the specs). /run is not `noexec`: the root of a sandbox's container
 * lies there.
 */
export const MOUNTS: readonly MountPoint[] = [
  { target: "/proc", type: "proc", options: ["nosuid", "noexec", "nodev", "relatime"] },
  { target: "/sys", type: "sysfs", options: ["nosuid", "noexec", "nodev", "relatime"] },
  { target: "/dev", type: "devtmpfs", options: ["nosuid", "noexec", "mode=0755"] },
  { target: "/dev/shm", type: "tmpfs", options: ["nosuid", "nodev", "mode=1777"] },
  {
    target: "/dev/pts",
    type: "devpts",
    options: ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
  },
  { target: "/run", type: "tmpfs", options: ["nosuid", "nodev", "mode=0755"] },
  { target: "/tmp", type: "tmpfs", options: ["nosuid", "nodev", "mode=1777"] },
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
  for (const { target, type, options } of mounts) {
    // Looked at each time: a mount changes what lies below it.
    const present = topmost(await currentMounts(), target);
    if (present !== undefined) {
      if (present.fsType === type) continue;
      throw new NvrcError("mount", `mount ${target}: expected ${type}, got ${present.fsType}`);
    }
    try {
      if (target.startsWith("/dev/")) mkdirSync(target, { recursive: true, mode: 0o755 });
      await mountWithOptions(sys, type, target, type, options);
    } catch (cause) {
      throw new NvrcError("mount", `mount ${type} on ${target}`, { cause });
    }
  }
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
