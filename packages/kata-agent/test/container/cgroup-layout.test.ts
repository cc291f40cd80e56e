import { describe, expect, it } from "vitest";
import { cgroupPath, parseCgroupMounts } from "../../src/container/cgroup-layout.ts";

const HYBRID = `31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:5 - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,name=systemd
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
`;

describe("parseCgroupMounts", () => {
  it("finds version 1 controllers, also two on one mount, and the unified one beside them", () => {
    const layout = parseCgroupMounts(HYBRID);
    expect(layout.version).toBe(1);
    expect(layout.unified).toBe("/sys/fs/cgroup/unified");
    expect([...layout.controllers]).toEqual([
      ["cpu", "/sys/fs/cgroup/cpu,cpuacct"],
      ["cpuacct", "/sys/fs/cgroup/cpu,cpuacct"],
      ["memory", "/sys/fs/cgroup/memory"],
    ]);
    expect(layout.all).toContain("/sys/fs/cgroup/systemd");
  });

  it("finds version 2 alone and undoes escapes", () => {
    const layout = parseCgroupMounts("29 23 0:26 / /sys/fs/c\\040group rw - cgroup2 cgroup2 rw,nsdelegate\n");
    expect(layout).toMatchObject({ version: 2, unified: "/sys/fs/c group", all: ["/sys/fs/c group"] });
  });

  it("knows the agent's own groups, of whichever hierarchy", () => {
    const self = "4:memory:/\n2:cpu,cpuacct:/a:b\n1:name=systemd:/a:b\n0::/nacre\n";
    expect(parseCgroupMounts(HYBRID, self).own).toEqual(["/a:b", "/nacre"]);
    expect(parseCgroupMounts(HYBRID, "0::/\nrubbish").own).toEqual([]);
  });

  it("bears text that is no table", () => {
    expect(parseCgroupMounts(" - cgroup\n\n- - -\ncgroup2")).toMatchObject({ version: 2, all: [] });
  });
});

describe("cgroupPath", () => {
  it.each([
    ["/goldenpod/c1", "/goldenpod/c1"],
    ["/goldenpod/", "/goldenpod"],
    ["kubepods.slice:cri:abc", "/kubepods.slice/cri/abc"],
    ["", "/c9"],
    ["/", "/c9"],
    ["/../../etc", "/etc"],
    ["a/../../..", "/c9"],
  ])("turns %j into %s", (given, expected) => {
    expect(cgroupPath(given, "c9")).toBe(expected);
  });
});
