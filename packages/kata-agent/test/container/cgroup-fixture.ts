import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import type { CgroupController, CgroupLayout } from "../../src/container/cgroup-layout.ts";
import { Cgroup } from "../../src/container/cgroup.ts";

/** A folder tree that looks like control groups; files keep what was last written. */
export class CgroupFixture {
  readonly root: string = mkdtempSync(join(tmpdir(), "nacre-cgroup-"));
  readonly cgroup: Cgroup;

  constructor(version: 1 | 2, files: Readonly<Record<string, string>>) {
    const names: CgroupController[] = ["cpu", "cpuacct", "cpuset", "memory", "freezer", "blkio", "pids", "hugetlb"];
    const layout: CgroupLayout = {
      version,
      unified: version === 2 ? this.root : undefined,
      controllers: new Map(version === 2 ? [] : names.map((name) => [name, join(this.root, name)])),
      all: version === 2 ? [this.root] : names.map((name) => join(this.root, name)),
      own: [],
    };
    this.cgroup = new Cgroup(layout, "/pod/c1");
    for (const [file, text] of Object.entries(files)) {
      const path = this.#path(file);
      mkdirSync(dirname(path), { recursive: true });
      writeFileSync(path, text);
    }
  }

  read(file: string): string {
    return readFileSync(this.#path(file), "utf8");
  }

  remove(): void {
    rmSync(this.root, { recursive: true });
  }

  /** `memory:memory.stat` on version 1, `memory.stat` on version 2. */
  #path(file: string): string {
    const [controller, name] = file.includes(":") ? file.split(":", 2) : ["", file];
    return join(this.root, controller ?? "", "pod/c1", name ?? "");
  }
}
