import {
  closeSync,
  fchmodSync,
  fchownSync,
  futimesSync,
  lchownSync,
  linkSync,
  lstatSync,
  lutimesSync,
  mkdirSync,
  openSync,
  constants,
  chmodSync,
  rmSync,
  type Stats,
  symlinkSync,
  unlinkSync,
  writeSync,
} from "node:fs";
import { At, type FileCalls, FileType, hasCode } from "@nacre/kata-sys-util";
import { PullError, storageError } from "../error.ts";
import type { TarHeader } from "../tar/header.ts";
import type { TarHandler } from "../tar/parser.ts";
import { LayerTree } from "./layer-tree.ts";
import { joinName, type MemberName, parseMemberName, quoteName } from "./member-name.ts";
import { storableXattrs } from "./xattrs.ts";

/** Ten times the largest layers seen; an archive with more is made to exhaust inodes and memory. */
export const MAX_ENTRIES = 4_000_000;
/** uid -1 and gid -1 mean "leave alone" to chown(2). */
const MAX_ID = 0xffff_fffe;
const CREATE = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
const OPAQUE = "trusted.overlay.opaque";
const YES: Uint8Array = Buffer.from("y");

/**
 * Writes the members of a layer's archive as files, with overlayfs's marks for what the layer deletes
 * (OCI image-spec 1.1 layer.md; the kernel's overlayfs.rst).
 *
 * Everything of an inode is set after its owner, because chown drops capabilities and set-id bits. Directory times come
 * last, after their contents. Synchronous on purpose: it has a thread of its own.
 */
export class Unpacker implements TarHandler {
  readonly #sys: FileCalls;
  readonly #tree: LayerTree;
  /** Times of directories, by name, set at the end. */
  readonly #directoryTimes = new Map<string, { readonly at: MemberName; readonly mtime: number }>();
  #rootHeader: TarHeader | undefined;
  #entries = 0;
  #opaqueRoot = false;
  #file: { readonly fd: number; readonly header: TarHeader } | undefined;

  constructor(sys: FileCalls, root: string) {
    this.#sys = sys;
    this.#tree = new LayerTree(sys, root);
  }

  get entries(): number {
    return this.#entries;
  }

  /** overlayfs merges the roots of all layers whatever their marks say, so this is for whoever stacks them. */
  get opaqueRoot(): boolean {
    return this.#opaqueRoot;
  }

  entry(header: TarHeader): void {
    this.#entries += 1;
    if (this.#entries > MAX_ENTRIES) throw new PullError("limit", `more than ${MAX_ENTRIES} entries in a layer`);
    const name = parseMemberName("member", header.name);
    try {
      this.#create(header, name);
    } catch (error) {
      throw storageError(`failed to create ${quoteName(header.name)}`, error);
    }
  }

  data(chunk: Uint8Array): void {
    const file = this.#file;
    if (file === undefined) return;
    try {
      for (let at = 0; at < chunk.length;) at += writeSync(file.fd, chunk, at);
    } catch (error) {
      throw storageError(`failed to write ${quoteName(file.header.name)}`, error);
    }
  }

  end(): void {
    const file = this.#file;
    if (file === undefined) return;
    this.#file = undefined;
    const { fd, header } = file;
    try {
      fchownSync(fd, header.uid, header.gid);
      fchmodSync(fd, header.mode);
      for (const [name, value] of storableXattrs(header.xattrs)) {
        this.#setXattr(name, () => this.#sys.fsetxattr(fd, name, value));
      }
      futimesSync(fd, header.mtime, header.mtime);
    } catch (error) {
      throw storageError(`failed to complete ${quoteName(header.name)}`, error);
    } finally {
      closeSync(fd);
    }
  }

  /** After the last member. */
  finish(): void {
    try {
      for (const { at, mtime } of [...this.#directoryTimes.values()].toReversed()) {
        const path = this.#tree.existingPathIn(at.parent, at.base);
        if (path !== undefined) lutimesSync(path, mtime, mtime);
      }
      if (this.#rootHeader !== undefined) this.#applyRoot(this.#rootHeader);
    } catch (error) {
      throw storageError("failed to complete the layer's directories", error);
    }
  }

  /** Closes what is open; what has been written stays. */
  close(): void {
    if (this.#file !== undefined) closeSync(this.#file.fd);
    this.#file = undefined;
    this.#tree.close();
  }

  #create(header: TarHeader, name: MemberName): void {
    if (header.uid < 0 || header.uid > MAX_ID || header.gid < 0 || header.gid > MAX_ID) {
      throw new PullError("tar", `${quoteName(header.name)} is owned by ${header.uid}:${header.gid}`);
    }
    if (name.base === "") {
      if (header.type === "5") this.#rootHeader = header;
      return;
    }
    if (name.base.startsWith(".wh.")) {
      this.#whiteout(name);
      return;
    }
    switch (header.type) {
      case "0":
      case "7":
        this.#beginFile(header, name);
        break;
      case "1":
        this.#hardLink(header, name);
        break;
      case "2":
        this.#replacing(name, (path) => symlinkSync(Buffer.from(header.link, "latin1"), path));
        this.#complete(header, name);
        break;
      case "3":
      case "4":
      case "6":
        this.#device(header, name);
        break;
      case "5":
        this.#makeDirectory(header, name);
        break;
      case "S":
        throw new PullError("unsupported", "sparse files in an archive");
      default:
        throw new PullError("unsupported", `members of type ${JSON.stringify(header.type)}`);
    }
  }

  #beginFile(header: TarHeader, name: MemberName): void {
    const fd = this.#replacing(name, (path) => openSync(path, CREATE, 0o600));
    this.#file = { fd, header };
  }

  #hardLink(header: TarHeader, name: MemberName): void {
    const target = parseMemberName("link target", header.link);
    const missing = (): PullError =>
      new PullError("unsupported", `hard link to ${quoteName(header.link)}, which is not in this layer`);
    const at = target.base === "" ? undefined : this.#tree.existingPathIn(target.parent, target.base);
    const existing = at === undefined ? undefined : lstatSync(at, { throwIfNoEntry: false });
    if (existing === undefined || isWhiteout(existing)) throw missing();
    if (existing.isDirectory()) throw new PullError("unsafe", `hard link to the directory ${quoteName(header.link)}`);
    if (joinName(target) === joinName(name)) return;
    this.#replacing(name, (path) => {
      // Making way for the link may have removed its target, or closed the directory it was reached through.
      const from = this.#tree.existingPathIn(target.parent, target.base);
      if (from === undefined) throw missing();
      linkSync(from, path);
    });
  }

  #device(header: TarHeader, name: MemberName): void {
    if (header.type === "3" && header.major === 0 && header.minor === 0) {
      throw new PullError("unsafe", "a character device 0:0, which overlayfs takes for a deletion");
    }
    const type = { "3": FileType.CHARACTER, "4": FileType.BLOCK }[header.type] ?? FileType.FIFO;
    const [major, minor] = header.type === "6" ? [0, 0] : [header.major, header.minor];
    this.#replacing(name, (path) => this.#sys.mknodat(At.FDCWD, path, type | 0o600, major, minor));
    this.#complete(header, name);
  }

  #makeDirectory(header: TarHeader, name: MemberName): void {
    const path = this.#tree.pathIn(name.parent, name.base);
    try {
      mkdirSync(path, 0o700);
    } catch (error) {
      if (!isExisting(error)) throw error;
      const existing = lstatSync(path);
      if (!existing.isDirectory()) {
        this.#remove(name, existing);
        mkdirSync(this.#tree.pathIn(name.parent, name.base), 0o700);
        // The layer deletes what is below it and then makes a directory: nothing of the old one may show through.
        if (isWhiteout(existing)) this.#makeOpaque(name);
      }
    }
    this.#directoryTimes.set(joinName(name), { at: name, mtime: header.mtime });
    this.#complete(header, name);
  }

  /** `.wh.NAME` deletes NAME of the layers below, `.wh..wh..opq` all of its directory; other `.wh..wh.` are AUFS's own. */
  #whiteout(name: MemberName): void {
    const hidden = name.base.slice(".wh.".length);
    if (hidden === ".wh..opq") {
      const cut = name.parent.lastIndexOf("/");
      this.#makeOpaque({ parent: name.parent.slice(0, Math.max(cut, 0)), base: name.parent.slice(cut + 1) });
      return;
    }
    if (hidden.startsWith(".wh.")) return;
    if (hidden === "" || hidden === "." || hidden === "..") {
      throw new PullError("unsafe", `whiteout of ${quoteName(hidden)}`);
    }
    const at: MemberName = { parent: name.parent, base: hidden };
    const path = this.#tree.pathIn(at.parent, at.base);
    try {
      this.#sys.mknodat(At.FDCWD, path, FileType.CHARACTER, 0, 0);
    } catch (error) {
      if (!isExisting(error)) throw error;
      // A whiteout only concerns lower layers. What this layer has there hides a file anyway, a directory when opaque.
      if (lstatSync(path).isDirectory()) this.#makeOpaque(at);
    }
  }

  #makeOpaque(directory: MemberName): void {
    if (directory.base === "") this.#opaqueRoot = true;
    // The directory may be given only by this mark, or be reached through a symbolic link.
    else this.#sys.setxattr(this.#tree.pathIn(joinName(directory), "."), OPAQUE, YES);
  }

  /** Runs `make` for a name; what this layer already has there gives way, as the later member counts. */
  #replacing<T>(name: MemberName, make: (path: string | Buffer) => T): T {
    const path = this.#tree.pathIn(name.parent, name.base);
    try {
      return make(path);
    } catch (error) {
      if (!isExisting(error)) throw error;
    }
    this.#remove(name, lstatSync(path));
    return make(this.#tree.pathIn(name.parent, name.base));
  }

  #remove(name: MemberName, existing: Stats): void {
    const path = this.#tree.pathIn(name.parent, name.base);
    if (existing.isDirectory()) {
      rmSync(path, { recursive: true });
      const below = `${joinName(name)}/`;
      for (const key of this.#directoryTimes.keys()) {
        if (key === joinName(name) || key.startsWith(below)) this.#directoryTimes.delete(key);
      }
    } else unlinkSync(path);
    if (existing.isDirectory() || existing.isSymbolicLink()) this.#tree.forget();
  }

  /** Owner, then mode, then attributes, then time, of anything that is not a regular file. */
  #complete(header: TarHeader, name: MemberName): void {
    const path = this.#tree.pathIn(name.parent, name.base);
    lchownSync(path, header.uid, header.gid);
    if (header.type !== "2") chmodSync(path, header.mode);
    for (const [key, value] of storableXattrs(header.xattrs)) {
      this.#setXattr(key, () => this.#sys.lsetxattr(path, key, value));
    }
    if (header.type !== "5") lutimesSync(path, header.mtime, header.mtime);
  }

  #applyRoot(header: TarHeader): void {
    const path = this.#tree.rootPath;
    for (const [key, value] of storableXattrs(header.xattrs)) {
      this.#setXattr(key, () => this.#sys.setxattr(path, key, value));
    }
    const fd = openSync(path, constants.O_RDONLY | constants.O_DIRECTORY);
    try {
      fchownSync(fd, header.uid, header.gid);
      fchmodSync(fd, header.mode);
      futimesSync(fd, header.mtime, header.mtime);
    } finally {
      closeSync(fd);
    }
  }

  /** A file system may lack user attributes (tmpfs before Linux 6.6); losing a capability is another matter. */
  #setXattr(name: string, set: () => void): void {
    try {
      set();
    } catch (error) {
      if (!hasCode(error, "EOPNOTSUPP") || name === "security.capability") throw error;
    }
  }
}

function isExisting(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "EEXIST";
}

function isWhiteout(status: Stats): boolean {
  return status.isCharacterDevice() && status.rdev === 0;
}
