import { At, OpenFlag } from "../constants.ts";
import type { LibC } from "../native.ts";
import type { FileSystemStatus, MountCalls } from "../syscalls.ts";
import { cString } from "./path.ts";

const OPEN_TREE_CLONE = 1;
const MOVE_MOUNT_F_EMPTY_PATH = 0x4;
const MOVE_MOUNT_T_SYMLINKS = 0x10;
const MOVE_MOUNT_T_EMPTY_PATH = 0x40;

interface RawStatfs {
  readonly f_type: number | bigint;
  readonly f_bsize: number | bigint;
  readonly f_blocks: number | bigint;
  readonly f_bfree: number | bigint;
  readonly f_bavail: number | bigint;
  readonly f_files: number | bigint;
  readonly f_ffree: number | bigint;
  readonly f_namelen: number | bigint;
  readonly f_flags: number | bigint;
}

export function mountCalls(libc: () => LibC): MountCalls {
  return {
    mount: async (source, target, fstype, flags, data = null) => {
      const text = (value: string | null): string | Uint8Array | null =>
        value === null ? null : cString(value, "mount");
      await libc().later("mount", target, text(source), text(target), text(fstype), flags, text(data));
    },
    umount2: async (target, flags = 0) => {
      await libc().later("umount2", target, cString(target, "umount2"), flags);
    },
    openTreeClone: (source, recursive) => {
      const flags = OPEN_TREE_CLONE | OpenFlag.CLOEXEC | (recursive ? At.RECURSIVE : 0);
      return libc().later("open_tree", source, At.FDCWD, cString(source, "open_tree"), flags);
    },
    mountSetattr: (tree, recursive, change) => {
      const block = libc().encode("mount_attr", {
        attr_set: change.set,
        attr_clr: change.clear,
        propagation: change.propagation,
        userns_fd: 0,
      });
      const flags = At.EMPTY_PATH | (recursive ? At.RECURSIVE : 0);
      libc().call("mount_setattr", undefined, tree, "", flags, block, block.length);
    },
    moveMount: async (tree, target) => {
      const [dirfd, path, how] =
        typeof target === "number"
          ? ([target, "", MOVE_MOUNT_T_EMPTY_PATH] as const)
          : ([At.FDCWD, cString(target, "move_mount"), MOVE_MOUNT_T_SYMLINKS] as const);
      const named = typeof target === "number" ? undefined : target;
      await libc().later("move_mount", named, tree, "", dirfd, path, MOVE_MOUNT_F_EMPTY_PATH | how);
    },
    pivotRoot: (newRoot, putOld) => {
      libc().call("pivot_root", newRoot, cString(newRoot, "pivot_root"), cString(putOld, "pivot_root"));
    },
    chroot: (path) => {
      libc().call("chroot", path, cString(path, "chroot"));
    },
    statfs: async (path) => {
      const block = libc().alloc("statfs");
      await libc().later("statfs", path, cString(path, "statfs"), block);
      return fileSystemStatus(libc().decode("statfs", block) as RawStatfs);
    },
  };
}

function fileSystemStatus(raw: RawStatfs): FileSystemStatus {
  return {
    type: Number(raw.f_type),
    bsize: Number(raw.f_bsize),
    blocks: BigInt(raw.f_blocks),
    bfree: BigInt(raw.f_bfree),
    bavail: BigInt(raw.f_bavail),
    files: BigInt(raw.f_files),
    ffree: BigInt(raw.f_ffree),
    namelen: Number(raw.f_namelen),
    flags: Number(raw.f_flags),
  };
}
