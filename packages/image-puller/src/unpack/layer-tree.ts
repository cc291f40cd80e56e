import { closeSync, lstatSync, mkdirSync, readlinkSync } from "node:fs";
import { At, type FileCalls, hasCode, OpenFlag, Resolve } from "@nacre/kata-sys-util";
import { PullError } from "../error.ts";
import { quoteName, systemPath } from "./member-name.ts";

/** Directories kept open: archives list a directory's files together, and descriptors are shared by all layers. */
const OPEN_DIRECTORIES = 64;
/** As many symbolic links as the kernel follows in one path. */
const MAX_LINKS = 40;
const ATTEMPTS = 64;
const DIRECTORY = OpenFlag.RDONLY | OpenFlag.DIRECTORY | OpenFlag.CLOEXEC;
const INSIDE = Resolve.IN_ROOT | Resolve.NO_MAGICLINKS | Resolve.NO_XDEV;

/**
 * The directory that a layer is unpacked into, seen as the image sees it: `/` and absolute symbolic links are its own.
 *
 * Parents are resolved by the kernel (openat2 with RESOLVE_IN_ROOT), never by joining strings; files are then reached by
 * name inside the directory that this found. SafeRoot does the same for single operations; this keeps directories
 * open and creates missing ones through dangling links, and its callers use Node's calls, which cost half of ours.
 */
export class LayerTree {
  readonly #sys: FileCalls;
  readonly #root: number;
  readonly #open = new Map<string, number>();

  constructor(sys: FileCalls, path: string) {
    this.#sys = sys;
    this.#root = sys.openat(At.FDCWD, path, DIRECTORY);
  }

  /** The path of the root, valid while the tree is open. */
  get rootPath(): string {
    return `/proc/self/fd/${this.#root}`;
  }

  /** The path of a name in a directory, which is created with those above it where missing. */
  pathIn(parent: string, base: string): string | Buffer {
    return systemPath(`/proc/self/fd/${this.#directory(parent, true)}/`, base);
  }

  /** The same without creating anything: undefined when the directory is not there. */
  existingPathIn(parent: string, base: string): string | Buffer | undefined {
    try {
      return systemPath(`/proc/self/fd/${this.#directory(parent, false)}/`, base);
    } catch (error) {
      if (hasCode(error, "ENOENT")) return undefined;
      throw error;
    }
  }

  /** Must follow the removal of a directory or of a symbolic link: what was resolved through it is not valid any more. */
  forget(): void {
    for (const fd of this.#open.values()) closeSync(fd);
    this.#open.clear();
  }

  close(): void {
    this.forget();
    closeSync(this.#root);
  }

  #directory(path: string, create: boolean): number {
    if (path === "") return this.#root;
    const known = this.#open.get(path);
    if (known !== undefined) return known;
    let fd: number;
    try {
      fd = this.#resolve(path);
    } catch (error) {
      if (hasCode(error, "ENOENT") && create) fd = this.#resolve(this.#makeDirectories(path));
      else if (hasCode(error, "ENOENT")) throw error;
      else throw unusable(path, error);
    }
    if (this.#open.size >= OPEN_DIRECTORIES) this.#closeOldest();
    this.#open.set(path, fd);
    return fd;
  }

  #closeOldest(): void {
    for (const [path, fd] of this.#open) {
      closeSync(fd);
      this.#open.delete(path);
      return;
    }
  }

  #resolve(path: string): number {
    const how = { flags: DIRECTORY, resolve: INSIDE };
    // openat2 answers EAGAIN when some rename on the machine crossed its look at a `..` inside a link.
    for (let attempt = 1; ; attempt += 1) {
      try {
        return this.#sys.openat2(this.#root, systemPath("", path), how);
      } catch (error) {
        if (attempt === ATTEMPTS || !hasCode(error, "EAGAIN")) throw error;
      }
    }
  }

  /** Makes what is missing of a path and returns the path without symbolic links. */
  #makeDirectories(path: string): string {
    const done: string[] = [];
    const todo = path.split("/").toReversed();
    let links = 0;
    for (let part = todo.pop(); part !== undefined; part = todo.pop()) {
      if (part === "" || part === ".") continue;
      if (part === "..") {
        done.pop();
        continue;
      }
      const parent = done.length === 0 ? this.#root : this.#resolve(done.join("/"));
      try {
        const here = systemPath(`/proc/self/fd/${parent}/`, part);
        const status = lstatSync(here, { throwIfNoEntry: false });
        if (status?.isSymbolicLink() === true) {
          links += 1;
          if (links > MAX_LINKS) throw new PullError("unsafe", `too many symbolic links in ${quoteName(path)}`);
          const target = readlinkSync(here, { encoding: "buffer" }).toString("latin1");
          if (target.startsWith("/")) done.length = 0;
          todo.push(...target.split("/").toReversed());
          continue;
        }
        if (status === undefined) mkdirSync(here, 0o755);
        else if (!status.isDirectory()) throw unusable(path, undefined);
        done.push(part);
      } finally {
        if (parent !== this.#root) closeSync(parent);
      }
    }
    return done.length === 0 ? "." : done.join("/");
  }
}

function unusable(path: string, cause: unknown): PullError {
  return new PullError("unsafe", `${quoteName(path)} is not a directory inside the layer`, { cause });
}
