import { createHash } from "node:crypto";
import {
  chmodSync,
  closeSync,
  fsyncSync,
  lstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmdirSync,
  rmSync,
  writeSync,
} from "node:fs";
import { dirname, join } from "node:path";

import { hasCode } from "@nacre/kata-sys-util";

import { NacreError } from "../error.ts";

/** Below the root: what was written, and what lay there before. */
export const INSTALL_FOLDER = "/var/lib/nacre/kata";
export const MANIFEST: string = join(INSTALL_FOLDER, "manifest.json");
const REPLACED: string = join(INSTALL_FOLDER, "replaced");

/** A file to be there, by its absolute path below the root. */
export interface PlannedFile {
  readonly path: string;
  readonly content: string;
}

/** What an installation does, or would do, with one file. */
export interface FileAction {
  readonly path: string;
  readonly action: "write" | "update" | "unchanged" | "replace" | "remove" | "restore" | "keep" | "absent";
  /** Why a file is kept. */
  readonly reason?: string;
}

/** A file that was in the way, moved aside. */
interface Replaced {
  readonly backup: string;
  readonly sha256: string;
}

interface Installed {
  readonly path: string;
  readonly sha256: string;
  /** The digest before this one: the file may have it where an installation was cut off. */
  readonly previous?: string | undefined;
  readonly replaced?: Replaced | undefined;
}

interface Manifest {
  readonly version: 1;
  readonly files: readonly Installed[];
  /** Folders that were made, outermost first. */
  readonly folders: readonly string[];
}

/**
 * Files that are written as a set and can be taken back: a manifest has the digest of each. What was not written by us,
 * or was changed since, is not touched unless the caller says so.
 */
export class InstalledFiles {
  readonly #root: string;
  #manifest: Manifest;

  /** Throws NacreError `input` for a manifest that is none: nothing is known of the files then. */
  constructor(root: string) {
    this.#root = root;
    this.#manifest = this.#readManifest();
  }

  /** The paths that were written. */
  get paths(): readonly string[] {
    return this.#manifest.files.map(({ path }) => path);
  }

  /**
   * Brings the files there. Throws NacreError `environment`, before anything is changed, where a file is in the way; with
   * `replace` that is moved aside, and a file of ours that was edited is written anew.
   */
  install(
    planned: readonly PlannedFile[],
    options: { readonly replace: boolean; readonly dryRun: boolean },
  ): FileAction[] {
    const steps = planned.map((file) => this.#step(file, options.replace));
    if (!options.dryRun) this.#apply(steps);
    return steps.map(({ path, action }) => ({ path, action }));
  }

  /** Takes them away and brings back what they replaced. Files that were changed since are kept, unless `force`. */
  uninstall(options: { readonly force: boolean; readonly dryRun: boolean }): FileAction[] {
    const actions: FileAction[] = [];
    const kept: Installed[] = [];
    for (const file of this.#manifest.files) {
      const found = this.#digest(file.path);
      if (found === undefined) actions.push({ path: file.path, action: "absent" });
      else if (isOurs(file, found) || options.force) {
        actions.push({ path: file.path, action: "remove" });
        if (!options.dryRun) rmSync(this.#at(file.path));
      } else {
        actions.push({ path: file.path, action: "keep", reason: "it was changed since" });
        kept.push(file);
        continue;
      }
      if (file.replaced === undefined) continue;
      actions.push({ path: file.path, action: "restore" });
      if (!options.dryRun) renameSync(this.#at(file.replaced.backup), this.#at(file.path));
    }
    if (options.dryRun) return actions;
    this.#manifest = { ...this.#manifest, files: kept };
    if (kept.length > 0) this.#writeManifest();
    else this.#removeAll();
    return actions;
  }

  #step({ path, content }: PlannedFile, replace: boolean): Step {
    const sha256 = createHash("sha256").update(content).digest("hex");
    const before = this.#manifest.files.find((file) => file.path === path);
    const found = this.#digest(path);
    const step = { path, content, sha256, replaced: before?.replaced, previous: before?.sha256 };
    if (found === undefined) return { ...step, action: "write" };
    // Identical is ours: an installation that was cut off has not written its manifest.
    if (found === sha256) return { ...step, action: "unchanged" };
    if (before !== undefined && isOurs(before, found)) return { ...step, action: "update" };
    if (!replace) {
      const why = before === undefined ? "is not ours" : "was changed since it was written";
      throw new NacreError("environment", `${this.#at(path)} ${why}; --replace takes its place`);
    }
    // What lay there first is what comes back.
    if (before?.replaced !== undefined && found !== before.replaced.sha256) return { ...step, action: "update" };
    if (before !== undefined && before.replaced === undefined) return { ...step, action: "update" };
    return { ...step, action: "replace", replaced: { backup: backupPath(path), sha256: found } };
  }

  #apply(steps: readonly Step[]): void {
    const others = this.#manifest.files.filter(({ path }) => !steps.some((step) => step.path === path));
    const folders = [...this.#manifest.folders];
    const needed = [INSTALL_FOLDER, ...steps.map(({ path }) => dirname(path))];
    for (const folder of needed) folders.push(...this.#missingFolders(folder, folders));
    // First what is to be undone, then what is done.
    this.#manifest = {
      version: 1,
      folders,
      files: [
        ...others,
        ...steps.map(({ path, sha256, previous, replaced }) => ({ path, sha256, previous, replaced })),
      ],
    };
    for (const folder of folders) mkdirSync(this.#at(folder), { recursive: true, mode: 0o755 });
    this.#writeManifest();
    for (const { path, action, content, replaced } of steps) {
      if (action === "replace" && replaced !== undefined) {
        mkdirSync(this.#at(REPLACED), { recursive: true, mode: 0o755 });
        renameSync(this.#at(path), this.#at(replaced.backup));
      }
      if (action !== "unchanged") this.#write(path, content);
    }
  }

  /** A file appears whole, and is on the disk before its manifest forgets the one before. */
  #write(path: string, content: string): void {
    const target = this.#at(path);
    const fresh = `${target}.nacre-new`;
    rmSync(fresh, { force: true });
    const fd = openSync(fresh, "wx", 0o644);
    try {
      writeSync(fd, content);
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    chmodSync(fresh, 0o644);
    renameSync(fresh, target);
  }

  #writeManifest(): void {
    this.#write(MANIFEST, `${JSON.stringify(this.#manifest, undefined, 1)}\n`);
  }

  #readManifest(): Manifest {
    const file = this.#at(MANIFEST);
    let text: string;
    try {
      text = readFileSync(file, "utf8");
    } catch (error) {
      if (hasCode(error, "ENOENT")) return { version: 1, files: [], folders: [] };
      throw error;
    }
    const manifest = parseManifest(text);
    if (manifest === undefined) throw new NacreError("input", `${file}: expected the manifest of an installation`);
    return manifest;
  }

  #removeAll(): void {
    rmSync(this.#at(MANIFEST), { force: true });
    for (const folder of [REPLACED, ...this.#manifest.folders.toReversed()]) {
      try {
        rmdirSync(this.#at(folder));
      } catch (error) {
        // Somebody else's files are in it by now, or it went with something else.
        if (!hasCode(error, "ENOTEMPTY") && !hasCode(error, "ENOENT")) throw error;
      }
    }
    this.#manifest = { version: 1, files: [], folders: [] };
  }

  /** Folders above a file that are not there and not yet listed, outermost first. */
  #missingFolders(folder: string, listed: readonly string[]): string[] {
    if (folder === "/" || listed.includes(folder)) return [];
    if (lstatSync(this.#at(folder), { throwIfNoEntry: false }) !== undefined) return [];
    return [...this.#missingFolders(dirname(folder), listed), folder];
  }

  /** Of a file; undefined where there is nothing. Throws for what is no file. */
  #digest(path: string): string | undefined {
    const target = this.#at(path);
    const status = lstatSync(target, { throwIfNoEntry: false });
    if (status === undefined) return undefined;
    if (!status.isFile()) throw new NacreError("environment", `${target}: expected a plain file or nothing`);
    return createHash("sha256").update(readFileSync(target)).digest("hex");
  }

  #at(path: string): string {
    return join(this.#root, path);
  }
}

interface Step extends Installed {
  readonly action: FileAction["action"];
  readonly content: string;
}

function isOurs(file: Installed, digest: string): boolean {
  return digest === file.sha256 || digest === file.previous;
}

function backupPath(path: string): string {
  return join(REPLACED, path.slice(1).replaceAll("/", "!"));
}

function parseManifest(text: string): Manifest | undefined {
  try {
    const { version, files, folders } = JSON.parse(text) as Manifest;
    const paths = [
      ...folders,
      ...files.flatMap(({ path, replaced }) => [path, ...(replaced ? [replaced.backup] : [])]),
    ];
    const plain = paths.every((path) => typeof path === "string" && path.startsWith("/") && join(path) === path);
    const digests = files.every(({ sha256 }) => typeof sha256 === "string");
    return version === 1 && plain && digests ? { version, files, folders } : undefined;
  } catch {
    return undefined;
  }
}
