import { closeSync, openSync } from "node:fs";

import { hasCode, OpenFlag, Resolve, type Syscalls } from "@nacre/kata-sys-util";

import { internalError } from "./error.ts";

/** Deeper paths are refused: each component costs system calls (design decision 6). */
export const MAX_PATH_DEPTH = 64;

/** The kernel's own limits, checked before any call is made. */
const MAX_NAME_BYTES = 255;
const MAX_PATH_BYTES = 4095;

/** A folder that was reached without following a symbolic link. The descriptor must be closed. */
export interface OpenFolder extends Disposable {
  readonly fd: number;
  /** A path to the very folder, whatever happens to its name meanwhile; for calls that take no descriptor. */
  readonly path: string;
  /** Whether it was made on the way. */
  readonly created: boolean;
}

/** How the way to a folder is walked. */
export interface WalkOptions {
  /** Makes what is missing, with these permissions; undefined refuses instead. */
  readonly create?: number;
}

/**
 * The host names paths below a root, and containers may have planted symbolic links there. Every component is opened
 * relative to the one before, none may be a link, `..` or another root: what the policy was told is where it happens.
 */
export class GuestTree {
  readonly root: string;
  readonly #syscalls: Syscalls;

  constructor(syscalls: Syscalls, root: string) {
    this.#syscalls = syscalls;
    this.root = root;
  }

  /** Opens a folder by the components below the root; none opens the root itself, which must be there. */
  open(components: readonly string[], options: WalkOptions = {}): OpenFolder {
    let fd = openSync(this.root, OpenFlag.RDONLY | OpenFlag.DIRECTORY | OpenFlag.CLOEXEC);
    let created = false;
    for (const name of components) {
      try {
        const next = this.#step(fd, name, options);
        closeSync(fd);
        fd = next.fd;
        created = next.created;
      } catch (error) {
        closeSync(fd);
        throw error;
      }
    }
    const folder = fd;
    return {
      fd: folder,
      path: `/proc/self/fd/${folder}`,
      created,
      [Symbol.dispose]: () => closeSync(folder),
    };
  }

  #step(parent: number, name: string, options: WalkOptions): { fd: number; created: boolean } {
    const how = { flags: FOLDER_FLAGS, resolve: NO_ESCAPE };
    try {
      return { fd: this.#syscalls.openat2(parent, name, how), created: false };
    } catch (error) {
      if (options.create === undefined || !hasCode(error, "ENOENT")) throw error;
    }
    try {
      this.#syscalls.mkdirat(parent, name, options.create);
    } catch (error) {
      // Two callers may make the same parent at once.
      if (!hasCode(error, "EEXIST")) throw error;
      return { fd: this.#syscalls.openat2(parent, name, how), created: false };
    }
    const fd = this.#syscalls.openat2(parent, name, how);
    // mkdirat's mode passes the umask, and the host's word counts.
    this.#syscalls.fchmodat(fd, ".", options.create);
    return { fd, created: true };
  }
}

/** Resolution flags for every name that comes from the host. */
export const NO_ESCAPE: number = Resolve.BENEATH | Resolve.NO_SYMLINKS | Resolve.NO_MAGICLINKS;

const FOLDER_FLAGS = OpenFlag.RDONLY | OpenFlag.DIRECTORY | OpenFlag.NOFOLLOW | OpenFlag.CLOEXEC;

/**
 * The components of an absolute path; empty ones and `.` count for nothing. Throws INTERNAL on relative paths, `..`,
 * zero bytes and what is longer or deeper than the limits.
 */
export function pathComponents(path: string): string[] {
  if (!path.startsWith("/")) throw internalError(`Invalid path: ${path}`);
  if (path.includes("\0")) throw internalError("Invalid path", new Error("it holds a zero byte"));
  if (Buffer.byteLength(path) > MAX_PATH_BYTES) throw internalError("Invalid path", new Error("it is too long"));
  const components = path.split("/").filter((name) => name !== "" && name !== ".");
  if (components.includes("..")) throw internalError(`Invalid path: ${path}`, new Error("it contains '..' components"));
  if (components.length > MAX_PATH_DEPTH) throw internalError("Invalid path", new Error("it is too deep"));
  for (const name of components) {
    if (Buffer.byteLength(name) > MAX_NAME_BYTES) {
      throw internalError("Invalid path", new Error("File name too long (os error 36)"));
    }
  }
  return components;
}
