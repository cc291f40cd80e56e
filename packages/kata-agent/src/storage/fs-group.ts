import { closeSync, readdirSync } from "node:fs";

import { At, FileType, OpenFlag, type Syscalls } from "@nacre/kata-sys-util";
import type { grpc } from "@nacre/protocols";

import { internalError } from "../error.ts";
import { NO_ESCAPE } from "../guest-tree.ts";

/** `FSGroupChangePolicy.OnRootMismatch`: leave the tree alone when its top has the group and the modes already. */
const ON_ROOT_MISMATCH = 1;

/** Group permissions that the policy adds (section 3.4): files, files of a read-only storage, folders on top of those. */
const FILE_MODE = 0o660;
const READ_ONLY_MODE = 0o440;
const FOLDER_EXTRA = 0o110;
const SETGID = 0o2000;

/** A volume nested deeper is refused: each level holds a descriptor. */
const MAX_DEPTH = 128;

/**
 * Gives a volume to a group: every file and folder from `folder` down gets the group and the permissions that let it
 * work there. Symbolic links are not followed. Throws INTERNAL.
 */
export function applyFsGroup(
  syscalls: Syscalls,
  folder: number,
  group: grpc.FSGroup,
  options: { readOnly: boolean },
): void {
  const mask = options.readOnly ? READ_ONLY_MODE : FILE_MODE;
  const status = syscalls.statx(folder, "", At.EMPTY_PATH);
  const wanted = mask | FOLDER_EXTRA | SETGID;
  if (
    group.group_change_policy === ON_ROOT_MISMATCH &&
    status.gid === group.group_id &&
    (status.mode & wanted) === wanted
  ) {
    return;
  }
  visit(syscalls, folder, { gid: group.group_id, mask }, 0);
}

function visit(syscalls: Syscalls, folder: number, to: { gid: number; mask: number }, depth: number): void {
  if (depth > MAX_DEPTH) throw internalError("fs_group: the volume is nested too deep");
  change(syscalls, folder, to, true);
  for (const name of readdirSync(`/proc/self/fd/${folder}`, { encoding: "buffer" })) {
    const type = syscalls.statx(folder, name, At.SYMLINK_NOFOLLOW).mode & FileType.MASK;
    if (type !== FileType.DIRECTORY && type !== FileType.REGULAR) {
      syscalls.fchownat(folder, name, NO_CHANGE, to.gid, At.SYMLINK_NOFOLLOW);
      continue;
    }
    const fd = syscalls.openat2(folder, name, {
      flags: OpenFlag.RDONLY | OpenFlag.NONBLOCK | OpenFlag.NOFOLLOW | OpenFlag.CLOEXEC,
      resolve: NO_ESCAPE,
    });
    try {
      if (type === FileType.DIRECTORY) visit(syscalls, fd, to, depth + 1);
      else change(syscalls, fd, to, false);
    } finally {
      closeSync(fd);
    }
  }
}

function change(syscalls: Syscalls, fd: number, to: { gid: number; mask: number }, isFolder: boolean): void {
  const { mode } = syscalls.statx(fd, "", At.EMPTY_PATH);
  syscalls.fchownat(fd, "", NO_CHANGE, to.gid, At.EMPTY_PATH);
  const extra = isFolder ? FOLDER_EXTRA | SETGID : 0;
  syscalls.fchmodat(At.FDCWD, `/proc/self/fd/${fd}`, (mode & 0o7777) | to.mask | extra);
}

/** The owner stays. */
const NO_CHANGE = 0xffff_ffff;
