import { At } from "../constants.ts";
import { Errno } from "../errno.ts";
import { SysError } from "../error.ts";
import type { LibC } from "../native.ts";
import type { CallName } from "../signatures.ts";
import type { FileCalls, FileStatus, OpenHow, PathLike } from "../syscalls.ts";
import { cString, printable } from "./path.ts";

/** STATX_BASIC_STATS */
const BASIC_STATS = 0x7ff;
/** UTIME_OMIT: leave this time as it is. */
const OMIT = 0x3ffffffen;
const SECOND = 1_000_000_000n;
/** XATTR_SIZE_MAX and XATTR_LIST_MAX of linux/limits.h. */
const XATTR_MAX = 65_536;
/** PATH_MAX: the longest target that a symbolic link can have. */
const PATH_MAX = 4096;

interface RawStatx {
  readonly stx_mode: number;
  readonly stx_nlink: number;
  readonly stx_uid: number;
  readonly stx_gid: number;
  readonly stx_ino: number | bigint;
  readonly stx_size: number | bigint;
  readonly stx_rdev_major: number;
  readonly stx_rdev_minor: number;
  readonly stx_dev_major: number;
  readonly stx_dev_minor: number;
  readonly stx_atime: RawTime;
  readonly stx_mtime: RawTime;
  readonly stx_ctime: RawTime;
}

interface RawTime {
  readonly tv_sec: number | bigint;
  readonly tv_nsec: number | bigint;
}

export function fileCalls(libc: () => LibC): FileCalls {
  const at = (name: CallName, dirfd: number, path: PathLike, ...rest: readonly (number | Uint8Array)[]): number =>
    libc().call(name, printable(path), dirfd, cString(path, name), ...rest);
  const openHow = (how: OpenHow): Buffer =>
    libc().encode("open_how", { flags: how.flags, mode: how.mode ?? 0, resolve: how.resolve ?? 0 });
  const OPEN_HOW_SIZE = 24;

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
    openat2: (dirfd, path, how) => at("openat2", dirfd, path, openHow(how), OPEN_HOW_SIZE),
    openat2Async: (dirfd, path, how) =>
      libc().later("openat2", printable(path), dirfd, cString(path, "openat2"), openHow(how), OPEN_HOW_SIZE),
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
      const times = Buffer.concat([timespec(atimeNs), timespec(mtimeNs)]);
      at("utimensat", dirfd, path, times, flags);
    },
    statx: (dirfd, path, flags = At.SYMLINK_NOFOLLOW) => {
      const block = libc().alloc("statx");
      at("statx", dirfd, path, flags, BASIC_STATS, block);
      return fileStatus(libc().decode("statx", block) as RawStatx);
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

  function timespec(ns: bigint | undefined): Buffer {
    if (ns === undefined) return libc().encode("timespec", { tv_sec: 0, tv_nsec: OMIT });
    // Times before 1970 are negative seconds with nanoseconds that still count upwards.
    const nanoseconds = ((ns % SECOND) + SECOND) % SECOND;
    return libc().encode("timespec", { tv_sec: (ns - nanoseconds) / SECOND, tv_nsec: nanoseconds });
  }
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

function fileStatus(raw: RawStatx): FileStatus {
  return {
    mode: raw.stx_mode,
    nlink: raw.stx_nlink,
    uid: raw.stx_uid,
    gid: raw.stx_gid,
    ino: BigInt(raw.stx_ino),
    size: BigInt(raw.stx_size),
    rdevMajor: raw.stx_rdev_major,
    rdevMinor: raw.stx_rdev_minor,
    devMajor: raw.stx_dev_major,
    devMinor: raw.stx_dev_minor,
    atimeNs: nanoseconds(raw.stx_atime),
    mtimeNs: nanoseconds(raw.stx_mtime),
    ctimeNs: nanoseconds(raw.stx_ctime),
  };
}

function nanoseconds(time: RawTime): bigint {
  return BigInt(time.tv_sec) * SECOND + BigInt(time.tv_nsec);
}
