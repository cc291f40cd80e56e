import { afterEach, describe, expect, it } from "vitest";
import { readCgroupStatistics } from "../../src/container/cgroup-stats.ts";
import { CgroupFixture } from "./cgroup-fixture.ts";

let fixture: CgroupFixture | undefined;
afterEach(() => {
  fixture?.remove();
  fixture = undefined;
});

const zero = { usage: 0n, max_usage: 0n, failcnt: 0n, limit: 0n };

describe("readCgroupStatistics", () => {
  it("reads version 1 as the real agent replied it (golden run/stats-after)", () => {
    fixture = new CgroupFixture(1, {
      "cpuacct:cpuacct.usage": "23533284\n",
      "cpuacct:cpuacct.usage_percpu": "6483019 17050265 \n",
      "cpuacct:cpuacct.stat": "user 1\nsystem 1\n",
      "cpu:cpu.stat": "nr_periods 6\nnr_throttled 2\nthrottled_time 99\n",
      "memory:memory.usage_in_bytes": "1683456\n",
      "memory:memory.max_usage_in_bytes": "2560000\n",
      "memory:memory.limit_in_bytes": "67108864\n",
      "memory:memory.failcnt": "3\n",
      "memory:memory.memsw.usage_in_bytes": "1683456\n",
      "memory:memory.memsw.max_usage_in_bytes": "2560000\n",
      "memory:memory.memsw.limit_in_bytes": "9223372036854771712\n",
      "memory:memory.kmem.usage_in_bytes": "24576\n",
      "memory:memory.use_hierarchy": "1\n",
      "memory:memory.stat": "cache 1421312\nrss 0\nhierarchical_memsw_limit 9223372036854771712\n",
      "pids:pids.current": "0\n",
      "pids:pids.max": "max\n",
      "blkio:blkio.throttle.io_service_bytes_recursive": "8:0 Read 4096\n8:0 Write 18446744073709551615\nTotal 5\n",
      "blkio:blkio.throttle.io_serviced_recursive": "Total 0\n",
      "hugetlb:hugetlb.2MB.usage_in_bytes": "2097152\n",
      "hugetlb:hugetlb.2MB.max_usage_in_bytes": "4194304\n",
      "hugetlb:hugetlb.2MB.failcnt": "7\n",
    });
    const stats = readCgroupStatistics(fixture.cgroup);
    expect(stats.cpu_stats).toEqual({
      cpu_usage: {
        total_usage: 23533284n,
        percpu_usage: [6483019n, 17050265n],
        usage_in_kernelmode: 10000000n,
        usage_in_usermode: 10000000n,
      },
      throttling_data: { periods: 6n, throttled_periods: 2n, throttled_time: 99n },
    });
    expect(stats.memory_stats).toMatchObject({
      cache: 1421312n,
      usage: { usage: 1683456n, max_usage: 2560000n, failcnt: 3n, limit: 67108864n },
      swap_usage: { usage: 1683456n, max_usage: 2560000n, failcnt: 0n, limit: 9223372036854771712n },
      kernel_usage: { ...zero, usage: 24576n },
      use_hierarchy: true,
    });
    expect({ ...stats.memory_stats.stats }).toEqual({
      cache: 1421312n,
      rss: 0n,
      hierarchical_memsw_limit: 9223372036854771712n,
    });
    expect(stats.pids_stats).toEqual({ current: 0n, limit: 0n });
    expect(stats.blkio_stats.io_service_bytes_recursive).toEqual([
      { major: 8n, minor: 0n, op: "Read", value: 4096n },
      { major: 8n, minor: 0n, op: "Write", value: 18446744073709551615n },
    ]);
    expect(stats.blkio_stats.io_serviced_recursive).toEqual([]);
    expect({ ...stats.hugetlb_stats }).toEqual({ "2MB": { usage: 2097152n, max_usage: 4194304n, failcnt: 7n } });
  });

  it("reads version 2 in the same units", () => {
    fixture = new CgroupFixture(2, {
      "cpu.stat": "usage_usec 1500\nuser_usec 1000\nsystem_usec 500\nnr_periods 4\nnr_throttled 1\nthrottled_usec 7\n",
      "memory.current": "4096\n",
      "memory.peak": "8192\n",
      "memory.max": "max\n",
      "memory.events": "low 0\nhigh 0\nmax 12\noom 1\noom_kill 1\n",
      "memory.stat": "anon 1024\nfile 2048\nkernel 512\n",
      "memory.swap.current": "100\n",
      "memory.swap.max": "200\n",
      "pids.current": "3\n",
      "pids.max": "64\n",
      "io.stat": "8:16 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0\n",
      "hugetlb.1GB.current": "0\n",
      "hugetlb.1GB.events": "max 2\n",
    });
    const stats = readCgroupStatistics(fixture.cgroup);
    expect(stats.cpu_stats).toEqual({
      cpu_usage: {
        total_usage: 1500000n,
        percpu_usage: [],
        usage_in_kernelmode: 500000n,
        usage_in_usermode: 1000000n,
      },
      throttling_data: { periods: 4n, throttled_periods: 1n, throttled_time: 7000n },
    });
    expect(stats.memory_stats).toMatchObject({
      cache: 2048n,
      usage: { usage: 4096n, max_usage: 8192n, failcnt: 12n, limit: 9223372036854771712n },
      swap_usage: { usage: 100n, max_usage: 0n, failcnt: 0n, limit: 200n },
      kernel_usage: { ...zero, usage: 512n },
    });
    expect(stats.pids_stats).toEqual({ current: 3n, limit: 64n });
    expect(stats.blkio_stats.io_service_bytes_recursive).toEqual([
      { major: 8n, minor: 16n, op: "Read", value: 1n },
      { major: 8n, minor: 16n, op: "Write", value: 2n },
    ]);
    expect(stats.blkio_stats.io_serviced_recursive.map(({ value }) => value)).toEqual([3n, 4n]);
    expect({ ...stats.hugetlb_stats }).toEqual({ "1GB": { usage: 0n, max_usage: 0n, failcnt: 2n } });
  });

  it.each([1, 2] as const)("counts what is absent or no number as zero (version %i)", (version) => {
    fixture = new CgroupFixture(version, { "memory:memory.usage_in_bytes": "banana", "memory.current": "banana" });
    const stats = readCgroupStatistics(fixture.cgroup);
    expect(stats.memory_stats.usage.usage).toBe(0n);
    expect(stats.cpu_stats.cpu_usage.total_usage).toBe(0n);
    expect(stats.pids_stats).toEqual({ current: 0n, limit: 0n });
  });
});
