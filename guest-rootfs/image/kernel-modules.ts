import { execFileSync } from "node:child_process";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempDisposableSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";

import { elfSection } from "../elf.ts";
import type { Source } from "../origin.ts";

const DEPMOD = "/sbin/depmod";
/** In the folder of the modules; modprobe reads this one alone. */
export const MODULE_INDEX = "modules.dep.bin";

/** A module of a kernel. */
export interface Module {
  /** In the guest: /usr/lib/modules/<release>/kernel/….ko. */
  readonly path: string;
  readonly source: Source;
}

/** The modules of one kernel: what to load before what follows from the modules themselves. */
export class KernelModules {
  /** In the guest. */
  readonly folder: string;
  readonly #modules = new Map<string, Module>();
  readonly #builtIn: ReadonlySet<string>;

  /** `folder` is …/lib/modules/<release>; its last part is the release. */
  constructor({ path: folder, origin }: Source) {
    this.folder = join("/usr/lib/modules", basename(folder));
    for (const file of readdirSync(folder, { recursive: true, encoding: "utf8" })) {
      if (!file.endsWith(".ko")) continue;
      const path = join(this.folder, file);
      this.#modules.set(moduleName(file), { path, source: { path: join(folder, file), origin } });
    }
    const builtIn = join(folder, "modules.builtin");
    const lines = existsSync(builtIn) ? readFileSync(builtIn, "utf8").split("\n") : [];
    this.#builtIn = new Set(lines.filter((line) => line !== "").map(moduleName));
  }

  /**
   * The modules with those that they depend on, each after what it needs, otherwise in the order given; what the kernel
   * has built in is left out. Throws for a name that it does not have at all.
   */
  inOrder(names: readonly string[]): readonly Module[] {
    const done = new Map<string, Module>();
    const visit = (name: string, neededBy: readonly string[]): void => {
      const key = moduleName(name);
      if (done.has(key) || this.#builtIn.has(key)) return;
      if (neededBy.includes(key)) {
        throw new Error(`kernel module ${key}: expected no circle, got ${neededBy.join(" > ")}`);
      }
      const found = this.#modules.get(key);
      if (found === undefined) throw new Error(`kernel module ${name}: expected it in ${this.folder}, got none`);
      for (const other of moduleDepends(found.source.path)) visit(other, [...neededBy, key]);
      done.set(key, found);
    };
    for (const name of names) visit(name, []);
    return [...done.values()];
  }

  /** The index by which modprobe finds these modules and what they need. */
  index(modules: readonly Module[]): Buffer {
    using folder = mkdtempDisposableSync(join(tmpdir(), "depmod-"));
    const root = join(folder.path, this.folder);
    for (const { path, source } of modules) {
      mkdirSync(dirname(join(folder.path, path)), { recursive: true });
      copyFileSync(source.path, join(folder.path, path));
    }
    // It looks below /lib.
    symlinkSync("usr/lib", join(folder.path, "lib"));
    for (const name of ["modules.order", "modules.builtin", "modules.builtin.modinfo"])
      writeFileSync(join(root, name), "");
    execFileSync(DEPMOD, ["--basedir", folder.path, basename(this.folder)], { stdio: ["ignore", "ignore", "inherit"] });
    return readFileSync(join(root, MODULE_INDEX));
  }
}

/** What the module's own information names. Soft dependencies are not followed: list them. */
function moduleDepends(path: string): readonly string[] {
  const info = elfSection(readFileSync(path), ".modinfo", path);
  const lines = info.toString("latin1").split("\0");
  const line = lines.find((text) => text.startsWith("depends="));
  return (line?.slice("depends=".length) ?? "").split(",").filter((name) => name !== "");
}

/** The kernel knows `-` and `_` as one in names of modules. */
function moduleName(path: string): string {
  return basename(path, ".ko").replaceAll("-", "_");
}
