import { createHash } from "node:crypto";
import {
  type Stats,
  chmodSync,
  constants,
  copyFileSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";

import { libraryClosure } from "./libraries.ts";
import { type Entry, MANIFEST } from "./manifest.ts";
import { RESOLVED_MANIFEST, TREE } from "./paths.ts";
import { buildPause } from "./pause.ts";

/** One entry as it lies in the tree. */
export interface ResolvedEntry {
  readonly path: string;
  readonly type: "directory" | "link" | "file";
  readonly mode: string;
  /** Files: where the bytes came from; `manifest` for texts written there. */
  readonly source?: string;
  readonly target?: string;
  readonly size?: number;
  readonly sha256?: string;
  /** Of the source, to see without reading whether it has changed. */
  readonly stamp?: string;
}

/**
 * Brings the guest's root directory under build/ up to date with the manifest: what has changed is replaced, what is not
 * listed goes. Each file appears whole under its name, so that a guest that runs on the tree never sees half of one.
 */
export function buildTree(): readonly ResolvedEntry[] {
  buildPause();
  const entries = withLibraries(MANIFEST);
  const before = new Map(readResolved().map((entry) => [entry.path, entry]));
  mkdirSync(TREE, { recursive: true });
  const resolved = entries.map((entry) => place(entry, before.get(entry.path)));
  removeOthers(new Set(entries.map(({ path }) => path)));
  writeFileSync(RESOLVED_MANIFEST, `${JSON.stringify(resolved, undefined, 1)}\n`);
  return resolved;
}

/** The manifest with the shared libraries of its programs, parents before children. */
function withLibraries(manifest: readonly Entry[]): readonly Entry[] {
  for (const entry of manifest) {
    if (entry.type === "file" && !existsSync(entry.source)) {
      const hint =
        entry.debian === undefined ? "run `make build`" : `install Debian's ${entry.debian}: \`make packages\``;
      throw new Error(`${entry.path}: expected ${entry.source}, which is missing; ${hint}`);
    }
  }
  const sources = manifest.flatMap((entry) => (entry.type === "file" ? [entry.source] : []));
  const libraries = [...libraryClosure(sources)].map(([path, source]): Entry => ({
    type: "file",
    path,
    mode: path.includes("/ld-linux") ? 0o755 : 0o644,
    source,
  }));
  const listed = new Set([...manifest, ...libraries].map(({ path }) => path));
  const folders = new Set(libraries.map(({ path }) => dirname(path)).filter((path) => !listed.has(path)));
  return [...manifest, ...[...folders].map((path): Entry => ({ type: "directory", path, mode: 0o755 })), ...libraries]
    .slice()
    .sort((a, b) => (a.path < b.path ? -1 : 1));
}

function place(entry: Entry, before: ResolvedEntry | undefined): ResolvedEntry {
  const target = join(TREE, entry.path);
  const mode = entry.type === "link" ? "777" : entry.mode.toString(8);
  switch (entry.type) {
    case "directory":
      clear(target, (status) => status.isDirectory());
      mkdirSync(target, { recursive: true });
      chmodSync(target, entry.mode);
      return { path: entry.path, type: "directory", mode };
    case "link":
      clear(target, (status) => status.isSymbolicLink() && readlinkSync(target) === entry.target);
      if (lstatSync(target, { throwIfNoEntry: false }) === undefined) symlinkSync(entry.target, target);
      return { path: entry.path, type: "link", mode, target: entry.target };
    case "text": {
      const bytes = Buffer.from(entry.content);
      const described = { path: entry.path, type: "file", mode, source: "manifest", size: bytes.length } as const;
      replace(target, entry.mode, (fresh) => writeFileSync(fresh, bytes));
      return { ...described, sha256: createHash("sha256").update(bytes).digest("hex") };
    }
    case "file": {
      const { size, mtimeNs, ino } = statSync(entry.source, { bigint: true });
      const stamp = `${size} ${mtimeNs} ${ino}`;
      const same = before?.source === entry.source && before.stamp === stamp && before.mode === mode;
      if (same && lstatSync(target, { throwIfNoEntry: false })?.isFile() === true) return before;
      replace(target, entry.mode, (fresh) => copyFileSync(entry.source, fresh, constants.COPYFILE_FICLONE));
      const sha256 = createHash("sha256").update(readFileSync(target)).digest("hex");
      return { path: entry.path, type: "file", mode, source: entry.source, size: Number(size), sha256, stamp };
    }
  }
}

function replace(target: string, mode: number, write: (fresh: string) => void): void {
  clear(target, (status) => status.isFile());
  const fresh = `${target}.${process.pid}.new`;
  write(fresh);
  chmodSync(fresh, mode);
  renameSync(fresh, target);
}

/** Makes room for an entry of another type. */
function clear(target: string, fits: (status: Stats) => boolean): void {
  const found = lstatSync(target, { throwIfNoEntry: false });
  if (found !== undefined && !fits(found)) rmSync(target, { recursive: true });
}

/** Goes down by hand: reading a folder recursively would follow links, and the tree's links lead back into it. */
function removeOthers(listed: ReadonlySet<string>, folder = "/"): void {
  for (const entry of readdirSync(join(TREE, folder), { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (!listed.has(path)) rmSync(join(TREE, path), { recursive: true });
    else if (entry.isDirectory()) removeOthers(listed, path);
  }
}

function readResolved(): readonly ResolvedEntry[] {
  try {
    return JSON.parse(readFileSync(RESOLVED_MANIFEST, "utf8")) as readonly ResolvedEntry[];
  } catch {
    // None yet, or cut off: everything is made anew.
    return [];
  }
}

if (import.meta.main) buildTree();
