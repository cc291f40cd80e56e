import { lstatSync, realpathSync } from "node:fs";
import { basename, join, relative } from "node:path";

import { TRIPLET } from "./arch.ts";
import { elfNeeds } from "./elf.ts";
import type { Source } from "./origin.ts";
import type { Sources } from "./sources.ts";

/**
 * The shared libraries that these files need, and those that the libraries need, each by its path in the guest. Throws for a library that is nowhere: in the guest it would show only when the program starts.
 */
export function libraryClosure(files: readonly string[], sources: Sources): ReadonlyMap<string, Source> {
  const found = new Map<string, Source>();
  const queue = [...files];
  const triplet = TRIPLET[sources.arch];
  for (let file = queue.shift(); file !== undefined; file = queue.shift()) {
    const needs = elfNeeds(file);
    if (needs === undefined) continue;
    const { interpreter } = needs;
    if (interpreter !== undefined) {
      found.set(join("/usr", interpreter), findLibrary(basename(interpreter), triplet, sources.roots, file));
    }
    for (const name of needs.libraries) {
      const target = join("/usr/lib", triplet, name);
      // The loader is reached by its own path; it is named among the libraries too.
      if (found.has(target) || name.startsWith("ld-linux")) continue;
      const source = findLibrary(name, triplet, sources.roots, file);
      found.set(target, source);
      queue.push(source.path);
    }
  }
  return found;
}

function findLibrary(name: string, triplet: string, roots: readonly Source[], neededBy: string): Source {
  for (const { path: root, origin } of roots) {
    for (const folder of [`usr/lib/${triplet}`, `lib/${triplet}`, "usr/lib", "lib"]) {
      const path = join(root, folder, name);
      if (lstatSync(path, { throwIfNoEntry: false }) === undefined) continue;
      const source = realpathSync(path);
      if (relative(realpathSync(root), source).startsWith("..")) {
        throw new Error(`${path}: expected a link within ${root}, got ${source}`);
      }
      return { path: source, origin };
    }
  }
  throw new Error(`${neededBy}: expected its library ${name} in ${roots.length} packages or this machine, got none`);
}
