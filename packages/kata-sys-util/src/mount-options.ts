import { MountFlag } from "./constants.ts";

/** What a list of mount options means to mount(2). */
export interface MountOptions {
  /** Flags of the mount itself, bind and remount among them. */
  readonly flags: number;
  /** Propagation changes, each of which takes a mount(2) of its own, in the order given. */
  readonly propagation: readonly number[];
  /** What the file system itself reads: every option that is not a flag, joined by commas. */
  readonly data: string;
}

/** Flags that an option sets; the names are those of mount(8) and of the OCI runtime specification. */
const set: ReadonlyMap<string, number> = new Map([
  ["ro", MountFlag.RDONLY],
  ["nosuid", MountFlag.NOSUID],
  ["nodev", MountFlag.NODEV],
  ["noexec", MountFlag.NOEXEC],
  ["sync", MountFlag.SYNCHRONOUS],
  ["remount", MountFlag.REMOUNT],
  ["mand", MountFlag.MANDLOCK],
  ["dirsync", MountFlag.DIRSYNC],
  ["nosymfollow", MountFlag.NOSYMFOLLOW],
  ["noatime", MountFlag.NOATIME],
  ["nodiratime", MountFlag.NODIRATIME],
  ["bind", MountFlag.BIND],
  ["rbind", MountFlag.BIND | MountFlag.REC],
  ["silent", MountFlag.SILENT],
  ["acl", MountFlag.POSIXACL],
  ["relatime", MountFlag.RELATIME],
  ["iversion", MountFlag.I_VERSION],
  ["strictatime", MountFlag.STRICTATIME],
  ["lazytime", MountFlag.LAZYTIME],
]);

/** Flags that an option takes away again: the later word wins, as with mount(8). */
const cleared: ReadonlyMap<string, number> = new Map([
  ["defaults", 0],
  ["rw", MountFlag.RDONLY],
  ["suid", MountFlag.NOSUID],
  ["dev", MountFlag.NODEV],
  ["exec", MountFlag.NOEXEC],
  ["async", MountFlag.SYNCHRONOUS],
  ["nomand", MountFlag.MANDLOCK],
  ["symfollow", MountFlag.NOSYMFOLLOW],
  ["atime", MountFlag.NOATIME],
  ["diratime", MountFlag.NODIRATIME],
  ["loud", MountFlag.SILENT],
  ["noacl", MountFlag.POSIXACL],
  ["norelatime", MountFlag.RELATIME],
  ["noiversion", MountFlag.I_VERSION],
  ["nostrictatime", MountFlag.STRICTATIME],
  ["nolazytime", MountFlag.LAZYTIME],
]);

const propagations: ReadonlyMap<string, number> = new Map([
  ["unbindable", MountFlag.UNBINDABLE],
  ["private", MountFlag.PRIVATE],
  ["slave", MountFlag.SLAVE],
  ["shared", MountFlag.SHARED],
  ["runbindable", MountFlag.UNBINDABLE | MountFlag.REC],
  ["rprivate", MountFlag.PRIVATE | MountFlag.REC],
  ["rslave", MountFlag.SLAVE | MountFlag.REC],
  ["rshared", MountFlag.SHARED | MountFlag.REC],
]);

/** Splits options into flags, propagation and data. Options that are no flag go to the file system, which judges. */
export function parseMountOptions(options: readonly string[]): MountOptions {
  let flags = 0;
  const propagation: number[] = [];
  const data: string[] = [];
  for (const option of options) {
    const change = propagations.get(option);
    if (change !== undefined) propagation.push(change);
    else if (set.has(option)) flags |= set.get(option) ?? 0;
    else if (cleared.has(option)) flags &= ~(cleared.get(option) ?? 0);
    else if (option !== "") data.push(option);
  }
  return { flags, propagation, data: data.join(",") };
}
