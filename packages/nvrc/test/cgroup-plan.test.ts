import { describe, expect, it } from "vitest";

import { cgroupPlan } from "../src/cgroup-plan.ts";

describe("cgroupPlan", () => {
  it("mounts the unified hierarchy alone where there is no other", () => {
    expect(cgroupPlan("0::/nacre-1\n")).toEqual([
      { target: "/sys/fs/cgroup", type: "cgroup2", options: [], links: [] },
    ]);
  });

  it("mounts each controller of version 1, named hierarchies, and the unified one beside them", () => {
    const plan = cgroupPlan("3:memory:/a:b\n2:name=systemd:/\n1:cpu:/\n0::/\n");
    expect(plan).toEqual([
      { target: "/sys/fs/cgroup/memory", type: "cgroup", options: ["memory"], links: [] },
      { target: "/sys/fs/cgroup/systemd", type: "cgroup", options: ["none", "name=systemd"], links: [] },
      { target: "/sys/fs/cgroup/cpu", type: "cgroup", options: ["cpu"], links: [] },
      { target: "/sys/fs/cgroup/unified", type: "cgroup2", options: [], links: [] },
    ]);
  });

  it("mounts joint controllers once and links their names", () => {
    expect(cgroupPlan("4:cpu,cpuacct:/\n")).toEqual([
      {
        target: "/sys/fs/cgroup/cpu,cpuacct",
        type: "cgroup",
        options: ["cpu", "cpuacct"],
        links: ["/sys/fs/cgroup/cpu", "/sys/fs/cgroup/cpuacct"],
      },
    ]);
  });

  it("passes over lines of another form", () => {
    expect(cgroupPlan("nonsense\n\n0::/\n")).toHaveLength(1);
  });
});
