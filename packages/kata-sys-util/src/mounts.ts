import { realpath } from "node:fs/promises";

import { MountFlag, Unmount } from "./constants.ts";
import { Errno } from "./errno.ts";
import { hasCode, SysError } from "./error.ts";
import { mountInfo } from "./mount-info.ts";
import { parseMountOptions } from "./mount-options.ts";
import type { MountCalls } from "./syscalls.ts";

/** Flags that belong to the mount and not to the file system: a bind mount takes them only from a remount. */
const PER_MOUNT =
  MountFlag.RDONLY |
  MountFlag.NOSUID |
  MountFlag.NODEV |
  MountFlag.NOEXEC |
  MountFlag.NOSYMFOLLOW |
  MountFlag.NOATIME |
  MountFlag.NODIRATIME |
  MountFlag.RELATIME;

/** Of the flags that statfs(2) reports, those whose bit mount(2) uses for the same thing. */
const KEPT =
  MountFlag.RDONLY | MountFlag.NOSUID | MountFlag.NODEV | MountFlag.NOEXEC | MountFlag.NOATIME | MountFlag.NODIRATIME;

/** How often unmountTree looks again: somebody mounting as fast as we unmount must not keep us for ever. */
const UNMOUNT_ROUNDS = 16;

/**
 * Mounts as mount(8) does: options in words, a bind mount's flags by a second call, each propagation change by one more.
 * If a later call fails the mount is taken away again, so that a read-only request never leaves a writable mount.
 */
export async function mountWithOptions(
  sys: MountCalls,
  source: string,
  target: string,
  fstype: string,
  options: readonly string[],
): Promise<void> {
  const { flags, propagation, data } = parseMountOptions(options);
  const isBind = (flags & MountFlag.BIND) !== 0;
  if ((flags & MountFlag.REMOUNT) !== 0) {
    await sys.mount(null, target, null, flags, data);
    return;
  }
  if (isBind) await sys.mount(source, target, null, flags & (MountFlag.BIND | MountFlag.REC), null);
  else await sys.mount(source, target, fstype, flags, data);
  try {
    if (isBind && (flags & PER_MOUNT) !== 0) await restrict(sys, target, flags & PER_MOUNT);
    for (const change of propagation) await sys.mount(null, target, null, change, null);
  } catch (error) {
    await sys.umount2(target, Unmount.DETACH);
    throw error;
  }
}

/** Shows `source` at `target` too; `options` as `ro`, `nosuid`, `rbind`, … */
export async function bindMount(
  sys: MountCalls,
  source: string,
  target: string,
  options: readonly string[] = [],
): Promise<void> {
  await mountWithOptions(sys, source, target, "none", options.includes("rbind") ? options : ["bind", ...options]);
}

/**
 * Remounts a bind mount with `flags` added to what it has. The flags it has are kept because the kernel refuses to drop
 * those that a user namespace inherited.
 */
async function restrict(sys: MountCalls, target: string, flags: number): Promise<void> {
  const { flags: present } = await sys.statfs(target);
  await sys.mount(null, target, null, MountFlag.BIND | MountFlag.REMOUNT | flags | (present & KEPT), null);
}

/**
 * Unmounts everything at and below `path`, the innermost first. With `lazy` (the default) a mount in use disappears
 * from the tree at once and ends with its last user. Nothing mounted there is no error.
 */
export async function unmountTree(sys: MountCalls, path: string, options: { lazy?: boolean } = {}): Promise<void> {
  const flags = Unmount.NOFOLLOW | (options.lazy === false ? 0 : Unmount.DETACH);
  const top = await realpath(path);
  for (let round = 0; round < UNMOUNT_ROUNDS; round += 1) {
    const points = (await mountInfo()).map((mount) => mount.mountPoint).filter((point) => isWithin(top, point));
    if (points.length === 0) return;
    // Listed in the order of mounting, so the reverse takes what covers before what is covered.
    for (const point of points.toReversed()) {
      try {
        await sys.umount2(point, flags);
      } catch (error) {
        // Gone with a mount that it was stacked on, or by another hand.
        if (!hasCode(error, "EINVAL") && !hasCode(error, "ENOENT")) throw error;
      }
    }
  }
  throw new SysError("EBUSY", Errno.EBUSY, "umount2", `umount2: ${JSON.stringify(path)}: mounts keep appearing`, {
    path,
  });
}

/** True if `path` is `top` or lies below it; both absolute and without `..`. */
export function isWithin(top: string, path: string): boolean {
  if (top === "/") return path.startsWith("/");
  return path === top || path.startsWith(`${top}/`);
}
