import { parseMountInfo } from "@nacre/kata-sys-util";
import { describe, expect, it } from "vitest";

import { hierarchyRoots } from "../../src/guest/cgroups.ts";

const line = (id: number, device: string, point: string, type: string): string =>
  `${id} 1 ${device} / ${point} rw - ${type} cgroup rw`;

describe("hierarchyRoots", () => {
  it("is the one place of the unified hierarchy", () => {
    expect(hierarchyRoots(parseMountInfo(line(1, "0:20", "/sys/fs/cgroup", "cgroup2")))).toEqual(["/sys/fs/cgroup"]);
  });

  it("is a place for each hierarchy of version 1 and the unified one, each once", () => {
    const mounts = [
      line(1, "0:20", "/sys/fs/cgroup/memory", "cgroup"),
      line(2, "0:21", "/sys/fs/cgroup/unified", "cgroup2"),
      line(3, "0:20", "/sys/fs/cgroup/memory-again", "cgroup"),
      line(4, "0:22", "/mnt/elsewhere", "cgroup"),
      line(5, "0:23", "/sys/fs/cgroup", "tmpfs"),
    ];
    expect(hierarchyRoots(parseMountInfo(mounts.join("\n")))).toEqual([
      "/sys/fs/cgroup/memory",
      "/sys/fs/cgroup/unified",
    ]);
  });
});
