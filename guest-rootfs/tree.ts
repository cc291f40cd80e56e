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
import { join } from "node:path";

import { type Entry, manifest } from "./manifest.ts";
import { RESOLVED_MANIFEST, TREE } from "./paths.ts";
import { buildProgram, stripNode } from "./programs.ts";
import { withLibraries } from "./resolve.ts";
import { machineSources } from "./sources.ts";

/** One entry as it lies in the tree. */
export interface ResolvedEntry {
  readonly path: string;
  readonly type: "directory" | "link" | "file";
  readonly mode: string;
  /** Files: whose the bytes are, as a package URL. */
  readonly origin?: string;
  /** Files: where the bytes lie on this machine; none for texts of the manifest. */
  readonly source?: string;
  readonly target?: string;
  readonly size?: number;
  readonly sha256?: string;
  /** Of the source, to see without reading whether it has changed. */
  readonly stamp?: string;
}

/** The root directory of simulated guests, of what this machine has. */
export function buildTree(): readonly ResolvedEntry[] {
  buildProgram("pause");
  stripNode();
  const sources = machineSources();
  return placeTree(
    withLibraries(manifest({ sources, flavour: "devkit", init: "nvrc-simulated" }), sources),
    TREE,
    RESOLVED_MANIFEST,
  );
}

/**
 * Brings a root directory up to date with its entries: what has changed is replaced, what is not listed goes. Each file
 * appears whole under its name, so that a guest that runs on the tree never sees half of one. `record` is where the
 * resolved entries are written.
 */
export function placeTree(entries: readonly Entry[], tree: string, record: string): readonly ResolvedEntry[] {
  const before = new Map(readResolved(record).map((entry) => [entry.path, entry]));
  mkdirSync(tree, { recursive: true });
  const resolved = entries.map((entry) => place(tree, entry, before.get(entry.path)));
  removeOthers(tree, new Set(entries.map(({ path }) => path)));
  writeFileSync(record, `${JSON.stringify(resolved, undefined, 1)}\n`);
  return resolved;
}

function place(tree: string, entry: Entry, before: ResolvedEntry | undefined): ResolvedEntry {
  const target = join(tree, entry.path);
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
      const described = { path: entry.path, type: "file", mode, origin: entry.origin, size: bytes.length } as const;
      replace(target, entry.mode, (fresh) => writeFileSync(fresh, bytes));
      return { ...described, sha256: createHash("sha256").update(bytes).digest("hex") };
    }
    case "file": {
      const { path: source, origin } = entry.source;
      const { size, mtimeNs, ino } = statSync(source, { bigint: true });
      const stamp = `${size} ${mtimeNs} ${ino}`;
      const same = before?.source === source && before.stamp === stamp && before.mode === mode;
      if (same && lstatSync(target, { throwIfNoEntry: false })?.isFile() === true) return { ...before, origin };
      replace(target, entry.mode, (fresh) => copyFileSync(source, fresh, constants.COPYFILE_FICLONE));
      const sha256 = createHash("sha256").update(readFileSync(target)).digest("hex");
      return { path: entry.path, type: "file", mode, origin, source, size: Number(size), sha256, stamp };
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
function removeOthers(tree: string, listed: ReadonlySet<string>, folder = "/"): void {
  for (const entry of readdirSync(join(tree, folder), { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (!listed.has(path)) rmSync(join(tree, path), { recursive: true });
    else if (entry.isDirectory()) removeOthers(tree, listed, path);
  }
}

function readResolved(record: string): readonly ResolvedEntry[] {
  try {
    return JSON.parse(readFileSync(record, "utf8")) as readonly ResolvedEntry[];
  } catch {
    // None yet, or cut off: everything is made anew.
    return [];
  }
}

// A tree that was never asked for needs Debian packages that may not be there.
if (import.meta.main && (!process.argv.includes("--if-there") || existsSync(RESOLVED_MANIFEST))) buildTree();
