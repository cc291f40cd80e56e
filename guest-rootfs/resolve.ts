import { existsSync } from "node:fs";
import { dirname } from "node:path";

import { libraryClosure } from "./libraries.ts";
import type { Entry } from "./manifest.ts";
import type { Sources } from "./sources.ts";

/**
 * The manifest with the shared libraries of its programs and the folders of everything, by path: parents before
 * children. Throws for a missing file, for a path that is listed twice, and for one that leads through a link.
 */
export function withLibraries(manifest: readonly Entry[], sources: Sources): readonly Entry[] {
  const files = manifest.flatMap((entry) => (entry.type === "file" ? [entry] : []));
  for (const { path, source } of files) {
    if (!existsSync(source.path))
      throw new Error(`${path}: expected ${source.path}, which is missing; run \`make build\``);
  }
  const programs = files.map(({ source }) => source.path);
  const libraries = [...libraryClosure(programs, sources)].map(([path, source]): Entry => ({
    type: "file",
    path,
    mode: path.includes("/ld-linux") ? 0o755 : 0o644,
    source,
  }));
  const all = [...manifest, ...libraries];
  return withFolders(all);
}

/** The entries with the folders that nobody listed, by path. Throws for a path twice and for one through a link. */
export function withFolders(entries: readonly Entry[]): readonly Entry[] {
  checkPaths(entries);
  return [...entries, ...missingFolders(entries)].sort((a, b) => (a.path < b.path ? -1 : 1));
}

function checkPaths(entries: readonly Entry[]): void {
  const types = new Map<string, Entry["type"]>();
  for (const { path, type } of entries) {
    if (types.has(path)) throw new Error(`${path}: expected it once in the manifest, got it twice`);
    types.set(path, type);
  }
  for (const { path } of entries) {
    for (let at = dirname(path); at !== "/"; at = dirname(at)) {
      const type = types.get(at) ?? "directory";
      if (type !== "directory") throw new Error(`${path}: expected ${at} to be a directory, got a ${type}`);
    }
  }
}

/** Folders that nobody listed, of those entries that have a place in them. */
function missingFolders(entries: readonly Entry[]): readonly Entry[] {
  const listed = new Set(entries.map(({ path }) => path));
  const folders = new Set<string>();
  for (const { path } of entries) {
    for (let at = dirname(path); at !== "/" && !listed.has(at); at = dirname(at)) folders.add(at);
  }
  return [...folders].map((path) => ({ type: "directory", path, mode: 0o755 }));
}
