import { readdirSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";

import { elfSection } from "../elf.ts";

/** A module of a kernel package. */
export interface Module {
  /** In the guest and in the package: /usr/lib/modules/<release>/kernel/….ko. */
  readonly path: string;
  /** On this machine. */
  readonly source: string;
}

/** The modules of one kernel: what to load before what follows from the modules themselves. */
export class KernelModules {
  readonly release: string;
  readonly #modules = new Map<string, Module>();

  /** `root` is an unpacked kernel package. */
  constructor(root: string) {
    const folder = ["usr/lib/modules", "lib/modules"].map((path) => join(root, path)).find(isFolder);
    const releases = folder === undefined ? [] : readdirSync(folder);
    const [release] = releases;
    if (folder === undefined || release === undefined || releases.length > 1) {
      throw new Error(`${root}: expected the modules of one kernel, got ${releases.length}`);
    }
    this.release = release;
    for (const file of readdirSync(join(folder, release), { recursive: true, encoding: "utf8" })) {
      if (!file.endsWith(".ko")) continue;
      const source = join(folder, release, file);
      const path = join("/usr/lib/modules", release, file);
      this.#modules.set(moduleName(file), { path, source });
    }
  }

  /**
   * The modules with those that they depend on, each after what it needs, otherwise in the order given. Throws for a
   * name that the kernel package does not have.
   */
  inOrder(names: readonly string[]): readonly Module[] {
    const done = new Map<string, Module>();
    const visit = (name: string, neededBy: readonly string[]): void => {
      const key = moduleName(name);
      if (done.has(key)) return;
      if (neededBy.includes(key))
        throw new Error(`kernel module ${key}: expected no circle, got ${neededBy.join(" > ")}`);
      const found = this.#modules.get(key);
      if (found === undefined) throw new Error(`kernel module ${name}: expected it in ${this.release}, got none`);
      for (const other of moduleDepends(found.source)) visit(other, [...neededBy, key]);
      done.set(key, found);
    };
    for (const name of names) visit(name, []);
    return [...done.values()];
  }
}

/** What the module's own information names. Soft dependencies are not followed: list them. */
function moduleDepends(path: string): readonly string[] {
  const info = elfSection(readFileSync(path), ".modinfo", path);
  const line = info
    .toString("latin1")
    .split("\0")
    .find((text) => text.startsWith("depends="));
  return (line?.slice("depends=".length) ?? "").split(",").filter((name) => name !== "");
}

/** The kernel knows `-` and `_` as one in names of modules. */
function moduleName(path: string): string {
  return basename(path, ".ko").replaceAll("-", "_");
}

function isFolder(path: string): boolean {
  try {
    return readdirSync(path).length > 0;
  } catch {
    return false;
  }
}
