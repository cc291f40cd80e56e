import { fromJson, type grpc } from "@nacre/protocols";
import { afterEach, describe, expect, it } from "vitest";
import { updateCgroup } from "../../src/container/cgroup-update.ts";
import { describeError } from "../../src/error.ts";
import { CgroupFixture } from "./cgroup-fixture.ts";
import { recordingLogger } from "./fakes.ts";

let fixture: CgroupFixture | undefined;
afterEach(() => {
  fixture?.remove();
  fixture = undefined;
});

function update(version: 1 | 2, files: Readonly<Record<string, string>>, json: unknown): string[] {
  fixture?.remove();
  fixture = new CgroupFixture(version, files);
  const log = recordingLogger();
  updateCgroup(fixture.cgroup, fromJson("grpc.LinuxResources", json) as grpc.LinuxResources, log.logger);
  return log.lines;
}

const V1 = {
  "memory:memory.limit_in_bytes": "",
  "memory:memory.memsw.limit_in_bytes": "9223372036854771712",
  "cpu:cpu.shares": "",
  "cpu:cpu.cfs_quota_us": "",
  "cpu:cpu.cfs_period_us": "",
  "pids:pids.max": "",
  "cpuset:cpuset.cpus": "",
};

describe("updateCgroup", () => {
  it("writes version 1 files", () => {
    const lines = update(1, V1, {
      Memory: { Limit: "67108864", Swap: "134217728" },
      CPU: { Shares: "256", Quota: "50000", Period: "100000", Cpus: "0" },
      Pids: { Limit: "50" },
    });
    expect(lines).toEqual([]);
    expect(fixture?.read("memory:memory.limit_in_bytes")).toBe("67108864");
    expect(fixture?.read("memory:memory.memsw.limit_in_bytes")).toContain("134217728");
    expect(fixture?.read("cpu:cpu.shares")).toBe("256");
    expect(fixture?.read("cpu:cpu.cfs_quota_us")).toBe("50000");
    expect(fixture?.read("cpu:cpu.cfs_period_us")).toBe("100000");
    expect(fixture?.read("pids:pids.max")).toBe("50");
    expect(fixture?.read("cpuset:cpuset.cpus")).toBe("0");
  });

  it("writes version 2 files in their units", () => {
    const files = {
      "memory.max": "",
      "memory.swap.max": "",
      "memory.low": "",
      "cpu.weight": "",
      "cpu.max": "max 100000",
      "pids.max": "",
    };
    update(2, files, {
      Memory: { Limit: "1000", Swap: "1500", Reservation: "500" },
      CPU: { Shares: "1024", Quota: "50000" },
      Pids: { Limit: "-1" },
    });
    expect(fixture?.read("memory.max")).toBe("1000");
    expect(fixture?.read("memory.swap.max")).toBe("500");
    expect(fixture?.read("memory.low")).toBe("500");
    expect(fixture?.read("cpu.weight")).toBe("39");
    expect(fixture?.read("cpu.max")).toBe("50000 100000");
    expect(fixture?.read("pids.max")).toBe("max");
  });

  it.each([1, 2] as const)("leaves everything alone when nothing is set (version %i)", (version) => {
    expect(update(version, {}, { Devices: [{ Access: "rwm" }], Memory: {}, CPU: {}, Pids: {}, BlockIO: {} })).toEqual(
      [],
    );
  });

  it("names the file and the value that the kernel refused", () => {
    let text = "";
    try {
      update(1, {}, { Memory: { Limit: "4096" } });
    } catch (error) {
      text = describeError(error);
    }
    expect(text).toBe(
      "unable to write to a control group file memory.limit_in_bytes, value 4096\n\nCaused by:\n" +
        "    No such file or directory (os error 2)",
    );
  });

  it("only logs a processor set that the kernel refused", () => {
    expect(update(1, {}, { CPU: { Cpus: "banana" } })).toEqual([
      "warning control group file not written cpuset.cpus banana",
    ]);
  });

  it("takes no page size that is part of another path", () => {
    expect(update(1, {}, { HugepageLimits: [{ Pagesize: "/../x", Limit: "1" }] })).toEqual([]);
    expect(update(1, {}, { HugepageLimits: [{ Pagesize: "2MB", Limit: "1" }] })).toEqual([
      "warning control group file not written hugetlb.2MB.limit_in_bytes 1",
    ]);
  });
});
