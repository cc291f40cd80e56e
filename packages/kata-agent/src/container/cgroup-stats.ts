import type { Cgroup } from "./cgroup.ts";

/** `grpc.CgroupStats` as far as this guest fills it; absent members are zero or empty on the wire. */
export interface CgroupStatistics {
  cpu_stats: {
    cpu_usage: {
      /** Nanoseconds. */
      total_usage: bigint;
      percpu_usage: bigint[];
      usage_in_kernelmode: bigint;
      usage_in_usermode: bigint;
    };
    throttling_data: { periods: bigint; throttled_periods: bigint; throttled_time: bigint };
  };
  memory_stats: {
    /** Bytes of page cache. */
    cache: bigint;
    usage: MemoryData;
    swap_usage: MemoryData;
    kernel_usage: MemoryData;
    use_hierarchy: boolean;
    stats: Record<string, bigint>;
  };
  pids_stats: { current: bigint; limit: bigint };
  blkio_stats: Record<BlkioList, BlkioEntry[]>;
  hugetlb_stats: Record<string, { usage: bigint; max_usage: bigint; failcnt: bigint }>;
}

export interface MemoryData {
  usage: bigint;
  max_usage: bigint;
  failcnt: bigint;
  limit: bigint;
}

export interface BlkioEntry {
  major: bigint;
  minor: bigint;
  op: string;
  value: bigint;
}

export type BlkioList =
  | "io_service_bytes_recursive"
  | "io_serviced_recursive"
  | "io_queued_recursive"
  | "io_service_time_recursive"
  | "io_wait_time_recursive"
  | "io_merged_recursive"
  | "io_time_recursive"
  | "sectors_recursive";

/** Clock ticks of cpuacct.stat: USER_HZ is 100 on every architecture that Linux guests run on. */
const NANOSECONDS_PER_TICK = 10_000_000n;
/** What "max" means in a number: the largest page-aligned value that version 1 shows for an unlimited group. */
const UNLIMITED = 9_223_372_036_854_771_712n;
const HUGE_PAGE_SIZES = ["64KB", "1MB", "2MB", "32MB", "512MB", "1GB", "16GB"];

/** Reads a container's statistics. A controller or file that does not exist counts as zero. */
export function readCgroupStatistics(cgroup: Cgroup): CgroupStatistics {
  return cgroup.layout.version === 2 ? readUnified(cgroup) : readLegacy(cgroup);
}

function readLegacy(cgroup: Cgroup): CgroupStatistics {
  const cpuStat = flatKeyed(cgroup.read("cpu", "cpu.stat"));
  const ticks = flatKeyed(cgroup.read("cpuacct", "cpuacct.stat"));
  const memory = flatKeyed(cgroup.read("memory", "memory.stat"));
  const data = (prefix: string): MemoryData => ({
    usage: integer(cgroup.read("memory", `${prefix}.usage_in_bytes`)),
    max_usage: integer(cgroup.read("memory", `${prefix}.max_usage_in_bytes`)),
    failcnt: integer(cgroup.read("memory", `${prefix}.failcnt`)),
    limit: integer(cgroup.read("memory", `${prefix}.limit_in_bytes`)),
  });
  const blkio = (name: string): BlkioEntry[] =>
    blkioRows(cgroup.read("blkio", `blkio.${name}`) ?? cgroup.read("blkio", `blkio.throttle.${name}`));
  return {
    cpu_stats: {
      cpu_usage: {
        total_usage: integer(cgroup.read("cpuacct", "cpuacct.usage")),
        percpu_usage: integers(cgroup.read("cpuacct", "cpuacct.usage_percpu")),
        usage_in_kernelmode: (ticks["system"] ?? 0n) * NANOSECONDS_PER_TICK,
        usage_in_usermode: (ticks["user"] ?? 0n) * NANOSECONDS_PER_TICK,
      },
      throttling_data: {
        periods: cpuStat["nr_periods"] ?? 0n,
        throttled_periods: cpuStat["nr_throttled"] ?? 0n,
        throttled_time: cpuStat["throttled_time"] ?? 0n,
      },
    },
    memory_stats: {
      cache: memory["cache"] ?? 0n,
      usage: data("memory"),
      swap_usage: data("memory.memsw"),
      kernel_usage: data("memory.kmem"),
      use_hierarchy: integer(cgroup.read("memory", "memory.use_hierarchy")) === 1n,
      stats: memory,
    },
    pids_stats: readPids(cgroup),
    blkio_stats: {
      ...noBlkio(),
      io_service_bytes_recursive: blkio("io_service_bytes_recursive"),
      io_serviced_recursive: blkio("io_serviced_recursive"),
      io_queued_recursive: blkio("io_queued_recursive"),
      io_service_time_recursive: blkio("io_service_time_recursive"),
      io_wait_time_recursive: blkio("io_wait_time_recursive"),
      io_merged_recursive: blkio("io_merged_recursive"),
      io_time_recursive: blkio("time_recursive"),
      sectors_recursive: blkio("sectors_recursive"),
    },
    hugetlb_stats: readHugetlb(cgroup, (size) => ({
      usage: cgroup.read("hugetlb", `hugetlb.${size}.usage_in_bytes`),
      maxUsage: cgroup.read("hugetlb", `hugetlb.${size}.max_usage_in_bytes`),
      failures: integer(cgroup.read("hugetlb", `hugetlb.${size}.failcnt`)),
    })),
  };
}

function readUnified(cgroup: Cgroup): CgroupStatistics {
  const cpu = flatKeyed(cgroup.read("cpu", "cpu.stat"));
  const memory = flatKeyed(cgroup.read("memory", "memory.stat"));
  const data = (prefix: string): MemoryData => ({
    usage: integer(cgroup.read("memory", `${prefix}.current`)),
    max_usage: integer(cgroup.read("memory", `${prefix}.peak`)),
    failcnt: flatKeyed(cgroup.read("memory", `${prefix}.events`))["max"] ?? 0n,
    limit: integer(cgroup.read("memory", `${prefix}.max`), UNLIMITED),
  });
  const kernel = memory["kernel"] ?? 0n;
  return {
    cpu_stats: {
      cpu_usage: {
        total_usage: (cpu["usage_usec"] ?? 0n) * 1000n,
        // The unified hierarchy does not count by processor.
        percpu_usage: [],
        usage_in_kernelmode: (cpu["system_usec"] ?? 0n) * 1000n,
        usage_in_usermode: (cpu["user_usec"] ?? 0n) * 1000n,
      },
      throttling_data: {
        periods: cpu["nr_periods"] ?? 0n,
        throttled_periods: cpu["nr_throttled"] ?? 0n,
        throttled_time: (cpu["throttled_usec"] ?? 0n) * 1000n,
      },
    },
    memory_stats: {
      cache: memory["file"] ?? 0n,
      usage: data("memory"),
      swap_usage: data("memory.swap"),
      kernel_usage: { usage: kernel, max_usage: 0n, failcnt: 0n, limit: 0n },
      use_hierarchy: true,
      stats: memory,
    },
    pids_stats: readPids(cgroup),
    blkio_stats: unifiedIo(cgroup.read("blkio", "io.stat")),
    hugetlb_stats: readHugetlb(cgroup, (size) => ({
      usage: cgroup.read("hugetlb", `hugetlb.${size}.current`),
      maxUsage: undefined,
      failures: flatKeyed(cgroup.read("hugetlb", `hugetlb.${size}.events`))["max"] ?? 0n,
    })),
  };
}

/** Both versions have the same two files; no limit is 0 on the wire. */
function readPids(cgroup: Cgroup): { current: bigint; limit: bigint } {
  return {
    current: integer(cgroup.read("pids", "pids.current")),
    limit: integer(cgroup.read("pids", "pids.max"), 0n),
  };
}

function readHugetlb(
  cgroup: Cgroup,
  read: (size: string) => { usage: string | undefined; maxUsage: string | undefined; failures: bigint },
): CgroupStatistics["hugetlb_stats"] {
  const result: CgroupStatistics["hugetlb_stats"] = Object.create(null) as CgroupStatistics["hugetlb_stats"];
  if (cgroup.directory("hugetlb") === undefined) return result;
  for (const size of HUGE_PAGE_SIZES) {
    const { usage, maxUsage, failures } = read(size);
    if (usage !== undefined) result[size] = { usage: integer(usage), max_usage: integer(maxUsage), failcnt: failures };
  }
  return result;
}

function noBlkio(): Record<BlkioList, BlkioEntry[]> {
  return {
    io_service_bytes_recursive: [],
    io_serviced_recursive: [],
    io_queued_recursive: [],
    io_service_time_recursive: [],
    io_wait_time_recursive: [],
    io_merged_recursive: [],
    io_time_recursive: [],
    sectors_recursive: [],
  };
}

/** `8:0 rbytes=1 wbytes=2 rios=3 wios=4 …` a device, into the rows that version 1 has. */
function unifiedIo(text: string | undefined): Record<BlkioList, BlkioEntry[]> {
  const result = noBlkio();
  for (const line of text?.split("\n") ?? []) {
    const [device, ...pairs] = line.split(" ");
    const id = deviceNumber(device);
    if (id === undefined) continue;
    for (const pair of pairs) {
      const [key, value] = pair.split("=", 2);
      if (value === undefined || !/^\d+$/.test(value)) continue;
      const row = { ...id, value: BigInt(value) };
      if (key === "rbytes") result.io_service_bytes_recursive.push({ ...row, op: "Read" });
      else if (key === "wbytes") result.io_service_bytes_recursive.push({ ...row, op: "Write" });
      else if (key === "rios") result.io_serviced_recursive.push({ ...row, op: "Read" });
      else if (key === "wios") result.io_serviced_recursive.push({ ...row, op: "Write" });
    }
  }
  return result;
}

/** `8:0 Read 4096` rows; the line of totals has no device and is left out. Time and sectors have no operation. */
function blkioRows(text: string | undefined): BlkioEntry[] {
  const rows: BlkioEntry[] = [];
  for (const line of text?.split("\n") ?? []) {
    const [device, ...rest] = line.split(" ");
    const id = deviceNumber(device);
    const value = rest.at(-1);
    if (id === undefined || value === undefined || !/^\d+$/.test(value)) continue;
    rows.push({ ...id, op: rest.length > 1 ? (rest[0] ?? "") : "", value: BigInt(value) });
  }
  return rows;
}

function deviceNumber(text: string | undefined): { major: bigint; minor: bigint } | undefined {
  const match = /^(\d+):(\d+)$/.exec(text ?? "");
  return match === null ? undefined : { major: BigInt(match[1] ?? "0"), minor: BigInt(match[2] ?? "0") };
}

/** `key value` lines with whole numbers. */
function flatKeyed(text: string | undefined): Record<string, bigint> {
  const result: Record<string, bigint> = Object.create(null) as Record<string, bigint>;
  for (const line of text?.split("\n") ?? []) {
    const match = /^(\S+) (\d+)$/.exec(line);
    if (match?.[1] !== undefined && match[2] !== undefined) result[match[1]] = BigInt(match[2]);
  }
  return result;
}

/** The number in a file; `other` for "max", 0 where there is none. */
function integer(text: string | undefined, other = 0n): bigint {
  const trimmed = text?.trim() ?? "";
  if (trimmed === "max") return other;
  return /^\d+$/.test(trimmed) ? BigInt(trimmed) : 0n;
}

function integers(text: string | undefined): bigint[] {
  return (text ?? "").split(/\s+/).flatMap((word) => (/^\d+$/.test(word) ? [BigInt(word)] : []));
}
