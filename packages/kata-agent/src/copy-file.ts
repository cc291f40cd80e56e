import { closeSync, fchmodSync, fchownSync, fstatSync, mkdirSync, write } from "node:fs";

import { At, FileType, hasCode, OpenFlag, SafeRoot, type Syscalls } from "@nacre/kata-sys-util";
import type { grpc } from "@nacre/protocols";

import { Mutex } from "./container/mutex.ts";
import { internalError } from "./error.ts";
import { GuestTree, NO_ESCAPE, type OpenFolder, pathComponents } from "./guest-tree.ts";

/** Files of which a part has come; each one more drops the oldest. A host sends one after the other. */
export const MAX_UNFINISHED_COPIES = 32;

/** The link's text, as the kernel limits it. */
const MAX_LINK_BYTES = 4095;

type Request = grpc.CopyFileRequest;

interface Target {
  /** Folders below the root. */
  readonly parents: readonly string[];
  readonly name: string;
}

/** A file of which a part has come. */
interface Unfinished {
  readonly parents: readonly string[];
  /** The name under which the parts gather. */
  readonly hidden: string;
}

/**
 * CopyFile (section 1.4, golden-findings 13): files, folders and symbolic links below one root and nowhere else. Parts
 * of a file gather under a hidden name of its own and get their real name when the announced size is reached.
 */
export class FileCopier {
  readonly #syscalls: Syscalls;
  readonly #root: string;
  readonly #tree: GuestTree;
  /** One copy at a time: calls are short, and the host sends them in order. */
  readonly #mutex = new Mutex();
  /** By the target's path below the root, oldest first. */
  readonly #unfinished = new Map<string, Unfinished>();
  #copies = 0;

  constructor(syscalls: Syscalls, root: string) {
    this.#syscalls = syscalls;
    this.#root = root;
    this.#tree = new GuestTree(syscalls, root);
  }

  /** Throws INTERNAL; then nothing of this request is left. */
  async copy(request: Request, signal: AbortSignal): Promise<void> {
    const target = parseTarget(this.#root, request.path);
    const type = checkRequest(request);
    await this.#mutex.run(signal, async () => {
      mkdirSync(this.#root, { recursive: true, mode: 0o755 });
      using parent = this.#openParent(target, request);
      if (type === FileType.DIRECTORY) await this.#directory(parent, target, request);
      else if (type === FileType.SYMLINK) await this.#symlink(parent, target, request);
      else await this.#regular(parent, target, request, signal);
    });
  }

  /** Drops every unfinished file; the sandbox that they belong to ends. */
  forget(): void {
    this.#unfinished.clear();
  }

  /** The parent belongs to the file's owner, except the root: upstream gives that away, too (a deviation). */
  #openParent(target: Target, request: Request): OpenFolder {
    let parent: OpenFolder;
    try {
      parent = this.#tree.open(target.parents, { create: request.dir_mode & 0o777 });
    } catch (cause) {
      throw internalError("mkdir_all parent", cause);
    }
    if (target.parents.length > 0) {
      try {
        this.#syscalls.fchownat(parent.fd, "", owner(request.uid), owner(request.gid), At.EMPTY_PATH);
      } catch (cause) {
        parent[Symbol.dispose]();
        throw internalError("chown parent", cause);
      }
    }
    return parent;
  }

  async #directory(parent: OpenFolder, target: Target, request: Request): Promise<void> {
    let fd = this.#openFolder(parent, target.name);
    if (fd === undefined) {
      await this.#remove(parent, target.name);
      this.#syscalls.mkdirat(parent.fd, target.name, request.file_mode & 0o777);
      fd = this.#openFolder(parent, target.name);
      if (fd === undefined) throw internalError(`${request.path}: somebody else changed it meanwhile`);
    }
    try {
      fchownSync(fd, owner(request.uid), owner(request.gid));
      fchmodSync(fd, request.file_mode & 0o777);
    } finally {
      closeSync(fd);
    }
  }

  /** A folder of that name, or undefined when there is none or something else has the name. */
  #openFolder(parent: OpenFolder, name: string): number | undefined {
    try {
      return this.#syscalls.openat2(parent.fd, name, {
        flags: OpenFlag.RDONLY | OpenFlag.DIRECTORY | OpenFlag.NOFOLLOW | OpenFlag.CLOEXEC,
        resolve: NO_ESCAPE,
      });
    } catch (error) {
      if (isNoFolder(error)) return undefined;
      throw error;
    }
  }

  async #symlink(parent: OpenFolder, target: Target, request: Request): Promise<void> {
    const text = Buffer.from(request.data);
    if (text.length === 0) {
      throw internalError("create symlink", new Error("No such file or directory (os error 2)"));
    }
    if (text.length > MAX_LINK_BYTES || text.includes(0)) {
      throw internalError("create symlink", new Error("Invalid argument (os error 22)"));
    }
    // The text is free, as upstream's: it is resolved by the container, in its own root, and never by us.
    await this.#remove(parent, target.name);
    this.#syscalls.symlinkat(text, parent.fd, target.name);
    this.#syscalls.fchownat(parent.fd, target.name, owner(request.uid), owner(request.gid), At.SYMLINK_NOFOLLOW);
  }

  async #regular(parent: OpenFolder, target: Target, request: Request, signal: AbortSignal): Promise<void> {
    const key = [...target.parents, target.name].join("/");
    if (request.offset === 0n) await this.#forgetCopy(key);
    const known = this.#unfinished.get(key);
    const hidden = known?.hidden ?? this.#hiddenName();
    const fd = this.#syscalls.openat2(parent.fd, hidden, {
      flags: OpenFlag.WRONLY | OpenFlag.NOFOLLOW | (known === undefined ? OpenFlag.CREAT | OpenFlag.EXCL : 0),
      ...(known === undefined ? { mode: 0o600 } : {}),
      resolve: NO_ESCAPE,
    });
    this.#unfinished.delete(key);
    this.#unfinished.set(key, { parents: target.parents, hidden });
    let done = false;
    try {
      await writeAll(fd, request.data, Number(request.offset));
      signal.throwIfAborted();
      if (fstatSync(fd).size >= Number(request.file_size)) {
        fchownSync(fd, owner(request.uid), owner(request.gid));
        fchmodSync(fd, request.file_mode & 0o777);
        if (this.#isFolder(parent, target.name)) await this.#remove(parent, target.name);
        this.#syscalls.renameat2(parent.fd, hidden, parent.fd, target.name);
        this.#unfinished.delete(key);
      }
      done = true;
    } finally {
      closeSync(fd);
      if (!done) await this.#forgetCopy(key);
    }
    const [oldest] = this.#unfinished.keys();
    if (this.#unfinished.size > MAX_UNFINISHED_COPIES && oldest !== undefined) await this.#forgetCopy(oldest);
  }

  /** A name that no host sends by accident, of one copy alone, so that `a.txt` and `a.md` do not share one. */
  #hiddenName(): string {
    this.#copies += 1;
    return `.copy-${process.pid}-${this.#copies}.tmp`;
  }

  /** Removes what has come of a file, if anything. */
  async #forgetCopy(key: string): Promise<void> {
    const unfinished = this.#unfinished.get(key);
    if (unfinished === undefined) return;
    this.#unfinished.delete(key);
    try {
      using parent = this.#tree.open(unfinished.parents);
      await this.#remove(parent, unfinished.hidden);
    } catch (error) {
      // Its folder may be gone; then the file is, too.
      if (!isNoFolder(error)) throw error;
    }
  }

  /** Whether a folder stands where a file is to go; a rename puts a file over a file at once, but not over a folder. */
  #isFolder(parent: OpenFolder, name: string): boolean {
    const fd = this.#openFolder(parent, name);
    if (fd === undefined) return false;
    closeSync(fd);
    return true;
  }

  /** Removes what has the name, with everything below it but nothing that is mounted there. */
  async #remove(parent: OpenFolder, name: string): Promise<void> {
    using folder = SafeRoot.open(parent.path, { sys: this.#syscalls });
    await folder.removeTree(name);
  }
}

/** The path below the root. Throws INTERNAL with upstream's words when it is not below. */
export function parseTarget(root: string, path: string): Target {
  const outside = (): Error =>
    internalError(`removing ${JSON.stringify(`${root}/`)} prefix from ${path}`, new Error("prefix not found"));
  if (!path.startsWith("/")) throw outside();
  const components = pathComponents(path);
  const prefix = pathComponents(root);
  if (!prefix.every((name, index) => components[index] === name)) throw outside();
  const name = components.at(-1);
  if (name === undefined || components.length === prefix.length) {
    throw internalError("invalid path argument: remove all path is /");
  }
  return { parents: components.slice(prefix.length, -1), name };
}

/** The request's own consistency; returns the file type. Throws INTERNAL. */
export function checkRequest(request: Request): number {
  const type = request.file_mode & FileType.MASK;
  if (type !== FileType.REGULAR && type !== FileType.DIRECTORY && type !== FileType.SYMLINK) {
    throw internalError(`file type ${type.toString(8)}: expected a regular file, a directory or a symbolic link`);
  }
  for (const [name, id] of Object.entries({ uid: request.uid, gid: request.gid })) {
    if (id < -1) throw internalError(`${name}: expected -1 or more, got ${id}`);
  }
  if (type !== FileType.REGULAR) return type;
  if (request.offset < 0n) {
    throw internalError("write_all_at", new Error("Invalid argument (os error 22)"));
  }
  if (request.file_size < 0n) throw internalError(`file_size: expected 0 or more, got ${request.file_size}`);
  if (request.offset + BigInt(request.data.length) > request.file_size) {
    throw internalError(`${request.data.length} bytes at ${request.offset} do not fit a file of ${request.file_size}`);
  }
  // Positions are exact only up to here; a write at one that is not would land somewhere else.
  if (request.file_size > BigInt(Number.MAX_SAFE_INTEGER)) {
    throw internalError("write_all_at", new Error("File too large (os error 27)"));
  }
  return type;
}

async function writeAll(fd: number, data: Uint8Array, offset: number): Promise<void> {
  let written = 0;
  try {
    while (written < data.length) written += await writeAt(fd, data.subarray(written), offset + written);
  } catch (cause) {
    throw internalError("write_all_at", cause);
  }
}

/** Off the event loop: a chunk is a mebibyte, and a full file system may take its time to say so. */
function writeAt(fd: number, data: Uint8Array, position: number): Promise<number> {
  return new Promise((resolve, reject) => {
    write(fd, data, 0, data.length, position, (error, written) => {
      if (error === null) resolve(written);
      else reject(error);
    });
  });
}

/** -1 leaves the owner alone; the kernel's "no change" is the largest unsigned value. */
function owner(id: number): number {
  return id === -1 ? 0xffff_ffff : id;
}

/** What opening a folder says when there is none of the name, or something that is not one. */
function isNoFolder(error: unknown): boolean {
  return hasCode(error, "ENOENT") || hasCode(error, "ENOTDIR") || hasCode(error, "ELOOP");
}
