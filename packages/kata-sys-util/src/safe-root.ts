import { closeSync, readdirSync } from "node:fs";

import { At, FileType, OpenFlag, Resolve } from "./constants.ts";
import { Errno } from "./errno.ts";
import { hasCode, SysError } from "./error.ts";
import { printable } from "./linux/path.ts";
import { linuxSyscalls } from "./linux/index.ts";
import { removeTree } from "./remove-tree.ts";
import { components, joinPath, splitPath } from "./safe-path.ts";
import type { FileCalls, FileStatus, PathLike } from "./syscalls.ts";

/**
 * openat2 answers EAGAIN when a rename somewhere on the machine got between its checks of `..`; asking again is what
 * its manual says. Bounded, because a neighbour may rename for ever.
 */
const RESOLVE_ATTEMPTS = 64;
const DIRECTORY = OpenFlag.PATH | OpenFlag.DIRECTORY | OpenFlag.CLOEXEC;

export interface SafeRootOptions {
  /** The port; the machine's own by default. */
  readonly sys?: FileCalls;
  /**
   * Refuse what would leave the root (EXDEV) instead of treating the root as `/`, as a container would see it.
   * Absolute paths and absolute symbolic links are then refused too. Default false.
   */
  readonly beneath?: boolean;
  /**
   * How many parent directories to keep open, for trees of many files. Only where nobody else renames directories in
   * the tree meanwhile: a kept directory is followed by identity, not by name. Default 0.
   */
  readonly cachedDirectories?: number;
}

/**
 * A directory from which no path leads out. Every path is resolved by the kernel (openat2 with RESOLVE_IN_ROOT or
 * RESOLVE_BENEATH, and without magic links) and every operation acts on a name in the directory that this found, so a
 * symbolic link put in between check and use changes what is found inside the root, never that it is inside.
 *
 * Calls are synchronous: they are for the guest's own memory and disk file systems.
 */
export class SafeRoot implements Disposable {
  /** The root itself, open with O_PATH. */
  readonly fd: number;
  readonly #sys: FileCalls;
  readonly #resolve: number;
  readonly #beneath: boolean;
  readonly #capacity: number;
  readonly #cache = new Map<string, number>();
  #closed = false;

  private constructor(fd: number, options: SafeRootOptions) {
    this.fd = fd;
    this.#sys = options.sys ?? linuxSyscalls();
    this.#beneath = options.beneath ?? false;
    this.#resolve = Resolve.NO_MAGICLINKS | (this.#beneath ? Resolve.BENEATH : Resolve.IN_ROOT);
    this.#capacity = options.cachedDirectories ?? 0;
  }

  /** Opens a directory as a root. `path` itself is trusted: it is resolved in the ordinary way. */
  static open(path: string, options: SafeRootOptions = {}): SafeRoot {
    return new SafeRoot((options.sys ?? linuxSyscalls()).openat(At.FDCWD, path, DIRECTORY), options);
  }

  /** A directory inside this root as a root of its own, under the same rules. */
  openRoot(path: PathLike, options: SafeRootOptions = {}): SafeRoot {
    return new SafeRoot(this.#open(path, DIRECTORY), { sys: this.#sys, beneath: this.#beneath, ...options });
  }

  /**
   * Opens a file; CLOEXEC always. A symbolic link at the end is followed inside the root unless flags hold O_NOFOLLOW.
   * To create a file use {@link createFile}. The caller closes the descriptor.
   */
  openFile(path: PathLike, flags: number, mode = 0): number {
    return this.#open(path, flags | OpenFlag.CLOEXEC, mode);
  }

  /** Creates a file that must not exist, open for writing. The caller closes the descriptor. */
  createFile(path: PathLike, mode: number): number {
    const flags = OpenFlag.WRONLY | OpenFlag.CREAT | OpenFlag.EXCL | OpenFlag.NOFOLLOW | OpenFlag.CLOEXEC;
    return this.#inParent(path, "openat", (dirfd, name) => this.#sys.openat(dirfd, name, flags, mode));
  }

  mkdir(path: PathLike, mode: number): void {
    this.#inParent(path, "mkdirat", (dirfd, name) => {
      this.#sys.mkdirat(dirfd, name, mode);
    });
  }

  /** Makes a directory and those above it that are missing (all with `mode`, less the umask). */
  mkdirs(path: PathLike, mode = 0o755): void {
    const parts = components(path);
    if (this.#exists(joinPath(parts))) return;
    for (let depth = 1; depth <= parts.length; depth += 1) {
      const prefix = joinPath(parts.slice(0, depth));
      if (this.#exists(prefix)) continue;
      try {
        this.mkdir(prefix, mode);
      } catch (error) {
        // Somebody else made it; or a symbolic link stands there that leads nowhere, which the next step reports.
        if (!hasCode(error, "EEXIST")) throw error;
        closeSync(this.#open(prefix, DIRECTORY));
      }
    }
  }

  symlink(target: PathLike, path: PathLike): void {
    this.#inParent(path, "symlinkat", (dirfd, name) => {
      this.#sys.symlinkat(target, dirfd, name);
    });
  }

  /** A hard link to a file of this root. A symbolic link at the end of `existing` is linked itself, not followed. */
  link(existing: PathLike, path: PathLike): void {
    this.#inParent(existing, "linkat", (fromDirfd, fromName) => {
      this.#inParent(path, "linkat", (dirfd, name) => {
        this.#sys.linkat(fromDirfd, fromName, dirfd, name);
      });
    });
  }

  /** `mode` holds the type (`FileType`); a FIFO or socket has no device numbers. */
  mknod(path: PathLike, mode: number, major = 0, minor = 0): void {
    this.#inParent(path, "mknodat", (dirfd, name) => {
      this.#sys.mknodat(dirfd, name, mode, major, minor);
    });
  }

  /** Flags as `Rename`; without them what stands at `to` is replaced. */
  rename(from: PathLike, to: PathLike, flags = 0): void {
    this.#inParent(from, "renameat2", (fromDirfd, fromName) => {
      this.#inParent(to, "renameat2", (dirfd, name) => {
        this.#sys.renameat2(fromDirfd, fromName, dirfd, name, flags);
      });
    });
    this.#forget();
  }

  unlink(path: PathLike): void {
    this.#inParent(path, "unlinkat", (dirfd, name) => {
      this.#sys.unlinkat(dirfd, name);
    });
    this.#forget();
  }

  /** Removes an empty directory. */
  rmdir(path: PathLike): void {
    this.#inParent(path, "unlinkat", (dirfd, name) => {
      this.#sys.unlinkat(dirfd, name, At.REMOVEDIR);
    });
    this.#forget();
  }

  /** Removes whatever stands at `path`, with all below it. Nothing there is no error; a mount below it is (EXDEV). */
  async removeTree(path: PathLike): Promise<void> {
    const { parent, name } = splitPath(path, "unlinkat");
    this.#forget();
    let dirfd: number;
    try {
      dirfd = this.#open(parent, DIRECTORY);
    } catch (error) {
      if (hasCode(error, "ENOENT")) return;
      throw error;
    }
    try {
      await removeTree(this.#sys, dirfd, name);
    } finally {
      closeSync(dirfd);
    }
  }

  /** The status of `path` itself; undefined if nothing is there. An empty path is the root. */
  lstat(path: PathLike): FileStatus | undefined {
    if (components(path).length === 0) return this.#sys.statx(this.fd, "", At.EMPTY_PATH);
    try {
      return this.#inParent(path, "statx", (dirfd, name) => this.#sys.statx(dirfd, name));
    } catch (error) {
      if (hasCode(error, "ENOENT")) return undefined;
      throw error;
    }
  }

  readlink(path: PathLike): Buffer {
    return this.#inParent(path, "readlinkat", (dirfd, name) => this.#sys.readlinkat(dirfd, name));
  }

  /** The names in a directory, as bytes. */
  readdir(path: PathLike): readonly Buffer[] {
    const fd = this.#open(path, OpenFlag.RDONLY | OpenFlag.DIRECTORY | OpenFlag.CLOEXEC);
    try {
      return readdirSync(`/proc/self/fd/${fd}`, { encoding: "buffer" });
    } finally {
      closeSync(fd);
    }
  }

  /** Changes the owner of `path` itself, also if it is a symbolic link. */
  chown(path: PathLike, uid: number, gid: number): void {
    this.#inParent(path, "fchownat", (dirfd, name) => {
      this.#sys.fchownat(dirfd, name, uid, gid, At.SYMLINK_NOFOLLOW);
    });
  }

  /** Changes permission bits. A symbolic link has none: EOPNOTSUPP. */
  chmod(path: PathLike, mode: number): void {
    this.#onItself(path, (procPath, fd) => {
      if ((this.#sys.statx(fd, "", At.EMPTY_PATH).mode & FileType.MASK) === FileType.SYMLINK) {
        throw SysError.fromErrno(Errno.EOPNOTSUPP, "fchmodat", printable(path));
      }
      this.#sys.fchmodat(At.FDCWD, procPath, mode);
    });
  }

  /** Sets times in nanoseconds since the epoch, of `path` itself; undefined leaves one alone. */
  utimes(path: PathLike, atimeNs: bigint | undefined, mtimeNs: bigint | undefined): void {
    this.#inParent(path, "utimensat", (dirfd, name) => {
      this.#sys.utimensat(dirfd, name, atimeNs, mtimeNs, At.SYMLINK_NOFOLLOW);
    });
  }

  /** Sets an extended attribute of `path` itself, also if it is a symbolic link. */
  setXattr(path: PathLike, name: string, value: Uint8Array): void {
    this.#onItself(path, (procPath) => {
      this.#sys.setxattr(procPath, name, value);
    });
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#forget();
    closeSync(this.fd);
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #open(path: PathLike, flags: number, mode = 0): number {
    const how = { flags, mode, resolve: this.#resolve };
    const target = path.length === 0 ? "." : path;
    for (let attempt = 1; ; attempt += 1) {
      try {
        return this.#sys.openat2(this.fd, target, how);
      } catch (error) {
        if (attempt === RESOLVE_ATTEMPTS || !hasCode(error, "EAGAIN")) throw error;
      }
    }
  }

  #exists(path: PathLike): boolean {
    try {
      closeSync(this.#open(path, DIRECTORY));
      return true;
    } catch (error) {
      if (hasCode(error, "ENOENT")) return false;
      throw error;
    }
  }

  #inParent<T>(path: PathLike, call: string, use: (dirfd: number, name: PathLike) => T): T {
    const { parent, name } = splitPath(path, call);
    if (parent.length === 0) {
      if (this.#beneath && isAbsolute(path)) throw SysError.fromErrno(Errno.EXDEV, call, printable(path));
      return use(this.fd, name);
    }
    if (this.#capacity > 0) return use(this.#cached(parent), name);
    const dirfd = this.#open(parent, DIRECTORY);
    try {
      return use(dirfd, name);
    } finally {
      closeSync(dirfd);
    }
  }

  #onItself<T>(path: PathLike, use: (procPath: string, fd: number) => T): T {
    const fd = this.#open(path, OpenFlag.PATH | OpenFlag.NOFOLLOW | OpenFlag.CLOEXEC);
    try {
      return use(`/proc/self/fd/${fd}`, fd);
    } finally {
      closeSync(fd);
    }
  }

  /** The least recently opened goes first: archives list a directory's files together. */
  #cached(parent: PathLike): number {
    const key = typeof parent === "string" ? parent : `\0${Buffer.from(parent).toString("latin1")}`;
    const known = this.#cache.get(key);
    if (known !== undefined) return known;
    const oldest = this.#cache.size >= this.#capacity ? this.#cache.entries().next().value : undefined;
    if (oldest !== undefined) {
      this.#cache.delete(oldest[0]);
      closeSync(oldest[1]);
    }
    const fd = this.#open(parent, DIRECTORY);
    this.#cache.set(key, fd);
    return fd;
  }

  /** After a removal or rename a kept directory may no longer be where its name says. */
  #forget(): void {
    for (const fd of this.#cache.values()) closeSync(fd);
    this.#cache.clear();
  }
}

function isAbsolute(path: PathLike): boolean {
  return typeof path === "string" ? path.startsWith("/") : path[0] === 0x2f;
}
