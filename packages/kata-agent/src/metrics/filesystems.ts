import type { StatsFs } from "node:fs";

import type { MountInfo } from "@nacre/kata-sys-util";

import type { Family, Sample } from "./exposition.ts";

/** File systems that hold data, as upstream counts them. */
const TYPES: readonly string[] = ["ext4", "xfs", "btrfs", "vfat", "overlay"];
/** Mounts that are looked at; a pod's containers have a few each. */
const MAX_FILESYSTEMS = 256;

export interface FilesystemPorts {
  readonly mounts: () => Promise<readonly MountInfo[]>;
  readonly statfs: (path: string) => Promise<StatsFs>;
}

/** Room and inodes of what is mounted to be written to, once a device, under upstream's names. */
export async function filesystems({ mounts, statfs }: FilesystemPorts): Promise<readonly Family[]> {
  const bytes: Sample[] = [];
  const inodes: Sample[] = [];
  for (const { mountPoint, source } of chosen(await mounts().catch(() => []))) {
    const stat = await statfs(mountPoint).catch(() => undefined);
    // Unmounted meanwhile.
    if (stat === undefined) continue;
    const labels = { mount: mountPoint, device: source };
    const add = (to: Sample[], values: Readonly<Record<string, number>>): void => {
      for (const [item, value] of Object.entries(values)) to.push({ labels: { ...labels, item }, value });
    };
    const { bsize, blocks, bfree, bavail, files, ffree } = stat;
    add(bytes, { total: blocks * bsize, used: Math.max(0, blocks - bfree) * bsize, available: bavail * bsize });
    add(inodes, { total: files, used: Math.max(0, files - ffree), available: ffree });
  }
  return [
    {
      name: "kata_guest_filesystem_bytes",
      help: "Guest filesystem space usage in bytes.",
      type: "gauge",
      samples: bytes,
    },
    { name: "kata_guest_filesystem_inodes", help: "Guest filesystem inode usage.", type: "gauge", samples: inodes },
  ];
}

function chosen(mounts: readonly MountInfo[]): readonly { readonly mountPoint: string; readonly source: string }[] {
  const seen = new Set<string>();
  const found: { readonly mountPoint: string; readonly source: string }[] = [];
  for (const { major, minor, mountPoint, fsType, source, superOptions } of mounts) {
    const device = `${major}:${minor}`;
    if (!TYPES.includes(fsType) || superOptions.includes("ro") || seen.has(device)) continue;
    seen.add(device);
    const name = source.slice(source.lastIndexOf("/") + 1);
    found.push({ mountPoint, source: name === "" ? device : name });
    if (found.length === MAX_FILESYSTEMS) break;
  }
  return found;
}
