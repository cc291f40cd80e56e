import { existsSync } from "node:fs";
import { dirname } from "node:path";

import { libraryClosure } from "./libraries.ts";
import type { Entry } from "./manifest.ts";
import type { Sources } from "./sources.ts";

/** The manifest with the shared libraries of its programs, by path: parents before children. Throws for a missing file. */
export function withLibraries(manifest: readonly Entry[], sources: Sources): readonly Entry[] {
  const files = manifest.flatMap((entry) => (entry.type === "file" ? [entry] : []));
  for (const { path, source } of files) {
    if (!existsSync(source)) throw new Error(`${path}: expected ${source}, which is missing; run \`make build\``);
  }
  const libraries = [
    ...libraryClosure(
      files.map(({ source }) => source),
      sources,
    ),
  ].map(([path, source]): Entry => ({
    type: "file",
    path,
    mode: path.includes("/ld-linux") ? 0o755 : 0o644,
    source,
  }));
  const all = [...manifest, ...libraries];
  return [...all, ...missingFolders(all)].sort((a, b) => (a.path < b.path ? -1 : 1));
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
