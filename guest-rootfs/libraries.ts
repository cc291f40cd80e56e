import { existsSync, realpathSync } from "node:fs";
import { join } from "node:path";

import { elfNeeds } from "./elf.ts";

/** Debian's name for the architecture, which the loader searches without a cache. */
export const TRIPLET: string = process.arch === "arm64" ? "aarch64-linux-gnu" : "x86_64-linux-gnu";

const FOLDERS: readonly string[] = [`/usr/lib/${TRIPLET}`, `/lib/${TRIPLET}`, "/usr/lib", "/lib"];

/**
 * The shared libraries that these files need, and those that the libraries need: the file on this machine by its path
 * in the guest. Throws for a library that is nowhere: in the guest it would show only when the program starts.
 */
export function libraryClosure(files: readonly string[]): ReadonlyMap<string, string> {
  const found = new Map<string, string>();
  const queue = [...files];
  for (let file = queue.shift(); file !== undefined; file = queue.shift()) {
    const needs = elfNeeds(file);
    if (needs === undefined) continue;
    const { interpreter } = needs;
    if (interpreter !== undefined) found.set(join("/usr", interpreter), realpathSync(interpreter));
    for (const name of needs.libraries) {
      const target = join("/usr/lib", TRIPLET, name);
      // The loader is reached by its own path; it is named among the libraries too.
      if (found.has(target) || name.startsWith("ld-linux")) continue;
      const folder = FOLDERS.find((candidate) => existsSync(join(candidate, name)));
      if (folder === undefined) throw new Error(`${file}: expected ${name} in ${FOLDERS.join(", ")}, got none`);
      const source = realpathSync(join(folder, name));
      found.set(target, source);
      queue.push(source);
    }
  }
  return found;
}
