import {
  closeSync,
  fchmodSync,
  fchownSync,
  fstatSync,
  lchownSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readlinkSync,
  readSync,
  type Stats,
  symlinkSync,
  writeSync,
} from "node:fs";

import { hasCode, isWithin, OpenFlag, type Syscalls } from "@nacre/kata-sys-util";
import type { grpc } from "@nacre/protocols";

import { isBind, openWithoutLinks } from "../bind-sources.ts";
import { internalError } from "../error.ts";
import { NO_ESCAPE, pathComponents } from "../guest-tree.ts";
import { SHARED_ROOT } from "../paths.ts";
import { SEALED, type Unsealing } from "./unsealing.ts";

/** Files that the runtime makes itself, which hold no secrets (upstream passes them over by these endings). */
const NOT_SECRETS: readonly string[] = ["resolv.conf", "termination-log", "hostname", "hosts", "serviceaccount"];

/** A volume of secrets holds at most 1 MiB; these bound what is looked at and copied of any that may be one. */
const MAX_ENTRIES = 4096;
const MAX_DEPTH = 8;
const MAX_SEALED: number = 1024 * 1024;
const MAX_COPIED: number = 16 * 1024 * 1024;

const READ = OpenFlag.RDONLY | OpenFlag.NOFOLLOW | OpenFlag.NONBLOCK | OpenFlag.CLOEXEC;
const FOLDER = OpenFlag.RDONLY | OpenFlag.DIRECTORY | OpenFlag.NOFOLLOW | OpenFlag.CLOEXEC;

const GONE = ["ENOENT", "ELOOP", "ENOTDIR", "ENXIO"] as const;

export interface SecretMountOptions {
  readonly syscalls: Syscalls;
  readonly unsealing: Unsealing;
  /** The container's own, on tmpfs, out of the host's reach; it is made when needed and goes with the container. */
  readonly folder: string;
  readonly signal: AbortSignal;
  /** Where the host puts files. Default: {@link SHARED_ROOT}. */
  readonly root?: string;
}

/**
 * Mounts whose sealed files are opened. What the host sent stays as it is, sealed: a volume with such a file is mounted
 * from a copy in which they are open, so that nothing that reads for the host, or writes for it, reaches them. A volume
 * without any is mounted itself. Rejects with INTERNAL.
 */
export async function unsealMounts(
  mounts: readonly grpc.Mount[],
  options: SecretMountOptions,
): Promise<readonly grpc.Mount[]> {
  const out: grpc.Mount[] = [];
  for (const [index, mount] of mounts.entries()) {
    const source = mayBeSecret(mount, options.root ?? SHARED_ROOT)
      ? await openCopy(mount, `${options.folder}/${index}`, options)
      : undefined;
    out.push(source === undefined ? mount : { ...mount, source });
  }
  return out;
}

function mayBeSecret(mount: grpc.Mount, root: string): boolean {
  if (!isBind(mount) || !mount.source.startsWith("/")) return false;
  const path = `/${pathComponents(mount.source).join("/")}`;
  return path !== root && isWithin(root, path) && !NOT_SECRETS.some((end) => path.endsWith(end));
}

/** Where the copy is; undefined where nothing is sealed, or nothing is there, which the mount itself will say. */
async function openCopy(mount: grpc.Mount, target: string, options: SecretMountOptions): Promise<string | undefined> {
  let fd: number;
  try {
    fd = openWithoutLinks(options.syscalls, mount.source, OpenFlag.RDONLY | OpenFlag.NONBLOCK);
  } catch {
    return undefined;
  }
  try {
    const status = fstatSync(fd);
    if (!hasSealed(options.syscalls, fd, status)) return undefined;
    mkdirSync(options.folder, { recursive: true, mode: 0o700 });
    const copy = new SecretCopy(mount.destination, options);
    await copy.add(fd, status, target, "", 0);
    return target;
  } finally {
    closeSync(fd);
  }
}

/** Whether a file, or one below a folder, begins as a sealed secret does. */
function hasSealed(syscalls: Syscalls, fd: number, status: Stats): boolean {
  let left = MAX_ENTRIES;
  const look = (at: number, what: Stats, depth: number): boolean => {
    if (what.isFile()) return isSealed(at, what);
    if (!what.isDirectory() || depth > MAX_DEPTH) return false;
    for (const entry of readdirSync(`/proc/self/fd/${at}`, { withFileTypes: true })) {
      if (--left < 0) return false;
      const child = entry.isSymbolicLink() ? undefined : openChild(syscalls, at, entry.name, entry.isDirectory());
      if (child === undefined) continue;
      try {
        if (look(child, fstatSync(child), depth + 1)) return true;
      } finally {
        closeSync(child);
      }
    }
    return false;
  };
  return look(fd, status, 0);
}

function isSealed(fd: number, status: Stats): boolean {
  if (!status.isFile() || status.size <= SEALED.length) return false;
  const head = Buffer.alloc(SEALED.length);
  return readSync(fd, head, 0, head.length, 0) === head.length && head.toString("latin1") === SEALED;
}

/** Undefined for what has gone meanwhile, or is another thing by now. */
function openChild(syscalls: Syscalls, parent: number, name: string, folder: boolean): number | undefined {
  try {
    return syscalls.openat2(parent, name, { flags: folder ? FOLDER : READ, resolve: NO_ESCAPE });
  } catch (error) {
    if (GONE.some((code) => hasCode(error, code))) return undefined;
    throw error;
  }
}

/** A copy of one volume, owners and permissions included. */
class SecretCopy {
  readonly #destination: string;
  readonly #options: SecretMountOptions;
  #entries = 0;
  #bytes = 0;

  constructor(destination: string, options: SecretMountOptions) {
    this.#destination = destination;
    this.#options = options;
  }

  async add(fd: number, status: Stats, target: string, name: string, depth: number): Promise<void> {
    this.#options.signal.throwIfAborted();
    this.#entries += 1;
    if (this.#entries > MAX_ENTRIES || depth > MAX_DEPTH) throw this.#tooLarge();
    if (status.isFile()) await this.#file(fd, status, target, name);
    else if (status.isDirectory()) await this.#folder(fd, status, target, name, depth);
    else throw internalError(`unsealing the volume at ${this.#destination}`, new Error("it holds more than files"));
  }

  async #folder(fd: number, status: Stats, target: string, name: string, depth: number): Promise<void> {
    mkdirSync(target, { mode: 0o700 });
    for (const entry of readdirSync(`/proc/self/fd/${fd}`, { withFileTypes: true })) {
      const below = `${target}/${entry.name}`;
      if (entry.isSymbolicLink()) {
        this.#link(`/proc/self/fd/${fd}/${entry.name}`, below);
        continue;
      }
      const child = openChild(this.#options.syscalls, fd, entry.name, entry.isDirectory());
      if (child === undefined) continue;
      try {
        await this.add(child, fstatSync(child), below, `${name}/${entry.name}`, depth + 1);
      } finally {
        closeSync(child);
      }
    }
    const made = openSync(target, FOLDER);
    own(made, status);
  }

  /** Its text is as free as the host's was: the container resolves it, in its own root. */
  #link(from: string, target: string): void {
    this.#entries += 1;
    if (this.#entries > MAX_ENTRIES) throw this.#tooLarge();
    const { uid, gid } = lstatSync(from);
    symlinkSync(readlinkSync(from), target);
    lchownSync(target, uid, gid);
  }

  async #file(fd: number, status: Stats, target: string, name: string): Promise<void> {
    this.#bytes += status.size;
    if (this.#bytes > MAX_COPIED) throw this.#tooLarge();
    const content = readWhole(fd, status.size);
    const opened = isSealed(fd, status) ? await this.#open(content, name) : undefined;
    const bytes = opened ?? content;
    const out = openSync(target, OpenFlag.WRONLY | OpenFlag.CREAT | OpenFlag.EXCL | OpenFlag.CLOEXEC, 0o600);
    try {
      for (let at = 0; at < bytes.length;) at += writeSync(out, bytes, at);
    } finally {
      opened?.fill(0);
      own(out, status);
    }
  }

  async #open(sealed: Buffer, name: string): Promise<Buffer | undefined> {
    const what = `the file ${JSON.stringify(name === "" ? this.#destination : name.slice(1))} of ${this.#destination}`;
    if (sealed.length > MAX_SEALED) {
      throw internalError(`unsealing ${what}`, new Error(`expected at most ${MAX_SEALED} bytes`));
    }
    return await this.#options.unsealing.open(what, sealed, this.#options.signal);
  }

  #tooLarge(): Error {
    const most = `expected at most ${MAX_ENTRIES} files, ${MAX_DEPTH} levels and ${MAX_COPIED} bytes`;
    return internalError(`unsealing the volume at ${this.#destination}`, new Error(most));
  }
}

/** Gives what was made its owner and permissions, and closes it. */
function own(fd: number, { uid, gid, mode }: Stats): void {
  try {
    fchownSync(fd, uid, gid);
    fchmodSync(fd, mode & 0o777);
  } finally {
    closeSync(fd);
  }
}

function readWhole(fd: number, size: number): Buffer {
  const bytes = Buffer.alloc(size);
  let length = 0;
  while (length < size) {
    const read = readSync(fd, bytes, length, size - length, length);
    if (read === 0) break;
    length += read;
  }
  return bytes.subarray(0, length);
}
