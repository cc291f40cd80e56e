import { At } from "../constants.ts";
import { Errno } from "../errno.ts";
import { SysError } from "../error.ts";
import type { LibC } from "../native.ts";
import type { CallName } from "../signatures.ts";
import type { FileCalls, OpenHow, PathLike } from "../syscalls.ts";
import { Blocks } from "./blocks.ts";
import { cString, printable } from "./path.ts";

/** STATX_BASIC_STATS */
const BASIC_STATS = 0x7ff;
/** XATTR_SIZE_MAX and XATTR_LIST_MAX of linux/limits.h. */
const XATTR_MAX = 65_536;
/** PATH_MAX: the longest target that a symbolic link can have. */
const PATH_MAX = 4096;

export function fileCalls(libc: () => LibC): FileCalls {
  const at = (name: CallName, dirfd: number, path: PathLike, ...rest: readonly (number | Uint8Array)[]): number =>
    libc().call(name, printable(path), dirfd, cString(path, name), ...rest);
  const openHow = (how: OpenHow): Buffer =>
    libc().encode("open_how", { flags: how.flags, mode: how.mode ?? 0, resolve: how.resolve ?? 0 });
  const blocks = lazily(() => new Blocks(libc()));

  const xattr = (
    name: "setxattr" | "lsetxattr",
    path: PathLike,
    key: string,
    value: Uint8Array,
    flags: number,
  ): void => {
    libc().call(name, printable(path), cString(path, name), cString(key, name), value, value.length, flags);
  };

  return {
    openat: (dirfd, path, flags, mode = 0) => at("openat", dirfd, path, flags, mode),
    openat2: (dirfd, path, how) => {
      const block = blocks().openHow(how);
      return at("openat2", dirfd, path, block, block.length);
    },
    openat2Async: (dirfd, path, how) => {
      const block = openHow(how);
      return libc().later("openat2", printable(path), dirfd, cString(path, "openat2"), block, block.length);
    },
    mkdirat: (dirfd, path, mode) => {
      at("mkdirat", dirfd, path, mode);
    },
    mknodat: (dirfd, path, mode, major, minor) => {
      libc().call("mknodat", printable(path), dirfd, cString(path, "mknodat"), mode, deviceNumber(major, minor));
    },
    symlinkat: (target, dirfd, path) => {
      libc().call("symlinkat", printable(path), cString(target, "symlinkat"), dirfd, cString(path, "symlinkat"));
    },
    linkat: (oldDirfd, oldPath, newDirfd, newPath, flags = 0) => {
      const from = cString(oldPath, "linkat");
      libc().call("linkat", printable(newPath), oldDirfd, from, newDirfd, cString(newPath, "linkat"), flags);
    },
    unlinkat: (dirfd, path, flags = 0) => {
      at("unlinkat", dirfd, path, flags);
    },
    renameat2: (oldDirfd, oldPath, newDirfd, newPath, flags = 0) => {
      const from = cString(oldPath, "renameat2");
      libc().call("renameat2", printable(newPath), oldDirfd, from, newDirfd, cString(newPath, "renameat2"), flags);
    },
    readlinkat: (dirfd, path) => {
      const target = Buffer.allocUnsafe(PATH_MAX);
      return target.subarray(0, at("readlinkat", dirfd, path, target, target.length));
    },
    fchownat: (dirfd, path, uid, gid, flags = 0) => {
      at("fchownat", dirfd, path, uid, gid, flags);
    },
    fchmodat: (dirfd, path, mode) => {
      at("fchmodat", dirfd, path, mode, 0);
    },
    utimensat: (dirfd, path, atimeNs, mtimeNs, flags = 0) => {
      at("utimensat", dirfd, path, blocks().times(atimeNs, mtimeNs), flags);
    },
    statx: (dirfd, path, flags = At.SYMLINK_NOFOLLOW) => {
      at("statx", dirfd, path, flags, BASIC_STATS, blocks().statx);
      return blocks().fileStatus();
    },
    setxattr: (path, key, value, flags = 0) => {
      xattr("setxattr", path, key, value, flags);
    },
    lsetxattr: (path, key, value, flags = 0) => {
      xattr("lsetxattr", path, key, value, flags);
    },
    fsetxattr: (fd, key, value, flags = 0) => {
      libc().call("fsetxattr", key, fd, cString(key, "fsetxattr"), value, value.length, flags);
    },
    lgetxattr: (path, key) => {
      const value = Buffer.allocUnsafe(XATTR_MAX);
      const name = cString(key, "lgetxattr");
      const length = libc().call("lgetxattr", printable(path), cString(path, "lgetxattr"), name, value, XATTR_MAX);
      return Buffer.from(value.subarray(0, length));
    },
    fgetxattr: (fd, key) => {
      const value = Buffer.allocUnsafe(XATTR_MAX);
      const length = libc().call("fgetxattr", key, fd, cString(key, "fgetxattr"), value, XATTR_MAX);
      return Buffer.from(value.subarray(0, length));
    },
    llistxattr: (path) => {
      const list = Buffer.allocUnsafe(XATTR_MAX);
      const length = libc().call("llistxattr", printable(path), cString(path, "llistxattr"), list, XATTR_MAX);
      return list.toString("utf8", 0, length).split("\0").slice(0, -1);
    },
    lremovexattr: (path, key) => {
      libc().call("lremovexattr", printable(path), cString(path, "lremovexattr"), cString(key, "lremovexattr"));
    },
  };
}

/** The C library's `makedev`: minor and major interleaved so that old 16-bit numbers keep their value. */
export function deviceNumber(major: number, minor: number): bigint {
  if (!isUint32(major) || !isUint32(minor)) {
    throw new SysError("EINVAL", Errno.EINVAL, "mknodat", `mknodat: expected a device, got ${major}:${minor}`);
  }
  const [high, low] = [BigInt(major), BigInt(minor)];
  return ((high & 0xfffff000n) << 32n) | ((high & 0xfffn) << 8n) | ((low & 0xffffff00n) << 12n) | (low & 0xffn);
}

function isUint32(value: number): boolean {
  return Number.isInteger(value) && value >= 0 && value <= 0xffffffff;
}

function lazily<T extends object>(make: () => T): () => T {
  let made: T | undefined;
  return () => (made ??= make());
}
