import { closeSync } from "node:fs";
import { realpath } from "node:fs/promises";

import { MountAttribute, MountFlag, Unmount } from "./constants.ts";
import { Errno } from "./errno.ts";
import { hasCode, SysError } from "./error.ts";
import { mountInfo } from "./mount-info.ts";
import { parseMountOptions } from "./mount-options.ts";
import type { MountCalls } from "./syscalls.ts";

/** What a flag of mount(2) is among the attributes of a mount. The others are the file system's: a bind has none. */
const attributes: readonly (readonly [flag: number, attribute: number])[] = [
  [MountFlag.RDONLY, MountAttribute.RDONLY],
  [MountFlag.NOSUID, MountAttribute.NOSUID],
  [MountFlag.NODEV, MountAttribute.NODEV],
  [MountFlag.NOEXEC, MountAttribute.NOEXEC],
  [MountFlag.NOSYMFOLLOW, MountAttribute.NOSYMFOLLOW],
  [MountFlag.NODIRATIME, MountAttribute.NODIRATIME],
  [MountFlag.NOATIME, MountAttribute.NOATIME],
  [MountFlag.STRICTATIME, MountAttribute.STRICTATIME],
  [MountFlag.RELATIME, MountAttribute.RELATIME],
];
const ATIME = MountFlag.NOATIME | MountFlag.STRICTATIME | MountFlag.RELATIME;

/** How often unmountTree looks again: somebody mounting as fast as we unmount must not keep us for ever. */
const UNMOUNT_ROUNDS = 16;

/**
 * Mounts as mount(8) does: options in words, each propagation change by a call of its own. If one of those fails the
 * mount is taken away again.
 */
export async function mountWithOptions(
  sys: MountCalls,
  source: string,
  target: string,
  fstype: string,
  options: readonly string[],
): Promise<void> {
  const { flags, propagation, data } = parseMountOptions(options);
  if ((flags & MountFlag.REMOUNT) !== 0) {
    await sys.mount(null, target, null, flags, data);
    return;
  }
  if ((flags & MountFlag.BIND) !== 0) {
    await bindMount(sys, source, target, options);
    return;
  }
  await sys.mount(source, target, fstype, flags, data);
  try {
    for (const change of propagation) await sys.mount(null, target, null, change, null);
  } catch (error) {
    await sys.umount2(target, Unmount.DETACH);
    throw error;
  }
}

/**
 * Shows `source` at `target` too; options as `ro`, `nosuid`, `rbind`, `rslave`, … The copy gets its flags before it is
 * attached (Linux 5.12), so a read-only one is at no moment writable, and what fails leaves nothing behind. With `rbind`
 * the flags hold for every mount below as well. Flags that the source has stay.
 *
 * A target that is a path is trusted and followed; one inside a hostile tree is opened with {@link SafeRoot} first
 * (`openFile(path, OpenFlag.PATH)`) and given as that descriptor.
 */
export async function bindMount(
  sys: MountCalls,
  source: string,
  target: string | number,
  options: readonly string[] = [],
): Promise<void> {
  const { flags, propagation } = parseMountOptions(options);
  const recursive = (flags & MountFlag.REC) !== 0;
  const set = attributes.reduce((bits, [flag, attribute]) => ((flags & flag) === 0 ? bits : bits | attribute), 0);
  const clear = (flags & ATIME) === 0 ? 0 : MountAttribute.ATIME;
  const tree = await sys.openTreeClone(source, recursive);
  try {
    if (set !== 0 || clear !== 0) sys.mountSetattr(tree, recursive, { set, clear, propagation: 0 });
    for (const change of propagation) {
      const type = change & ~MountFlag.REC;
      sys.mountSetattr(tree, (change & MountFlag.REC) !== 0, { set: 0, clear: 0, propagation: type });
    }
    await sys.moveMount(tree, target);
  } finally {
    closeSync(tree);
  }
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
