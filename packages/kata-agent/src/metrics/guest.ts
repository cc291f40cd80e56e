import { TICKS_PER_SECOND } from "./agent-process.ts";
import { type Family, itemized, type Sample } from "./exposition.ts";
import { fields, keyed, type ReadProc } from "./proc.ts";

/** Columns of a processor's line in /proc/stat. */
const CPU = ["user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal", "guest", "guest_nice"] as const;

/** Columns of a line in /proc/diskstats, behind the device's numbers and name. */
const DISK = [
  "reads",
  "merged",
  "sectors_read",
  "time_reading",
  "writes",
  "writes_merged",
  "sectors_written",
  "time_writing",
  "in_progress",
  "time_in_progress",
  "weighted_time_in_progress",
  "discards",
  "discards_merged",
  "sectors_discarded",
  "time_discarding",
  "flushes",
  "time_flushing",
] as const;

/** Columns of a line in /proc/net/dev, behind the interface's name. */
const NET = [
  ...["bytes", "packets", "errs", "drop", "fifo", "frame", "compressed", "multicast"].map((name) => `recv_${name}`),
  ...["bytes", "packets", "errs", "drop", "fifo", "colls", "carrier", "compressed"].map((name) => `sent_${name}`),
];

/** Upstream's items by the names in /proc/meminfo. Those of old kernels and other machines are 0. */
const MEMORY: Readonly<Record<string, string>> = {
  active: "Active",
  active_anon: "Active(anon)",
  active_file: "Active(file)",
  anon_hugepages: "AnonHugePages",
  anon_pages: "AnonPages",
  bounce: "Bounce",
  buffers: "Buffers",
  cached: "Cached",
  cma_free: "CmaFree",
  cma_total: "CmaTotal",
  commit_limit: "CommitLimit",
  committed_as: "Committed_AS",
  direct_map_1G: "DirectMap1G",
  direct_map_2M: "DirectMap2M",
  direct_map_4M: "DirectMap4M",
  direct_map_4k: "DirectMap4k",
  dirty: "Dirty",
  hardware_corrupted: "HardwareCorrupted",
  high_free: "HighFree",
  high_total: "HighTotal",
  hugepages_free: "HugePages_Free",
  hugepages_rsvd: "HugePages_Rsvd",
  hugepages_surp: "HugePages_Surp",
  hugepages_total: "HugePages_Total",
  hugepagesize: "Hugepagesize",
  hugetlb: "Hugetlb",
  inactive: "Inactive",
  inactive_anon: "Inactive(anon)",
  inactive_file: "Inactive(file)",
  k_reclaimable: "KReclaimable",
  kernel_stack: "KernelStack",
  low_free: "LowFree",
  low_total: "LowTotal",
  mapped: "Mapped",
  mem_available: "MemAvailable",
  mem_free: "MemFree",
  mem_total: "MemTotal",
  mlocked: "Mlocked",
  mmap_copy: "MmapCopy",
  nfs_unstable: "NFS_Unstable",
  page_tables: "PageTables",
  per_cpu: "Percpu",
  quicklists: "Quicklists",
  s_reclaimable: "SReclaimable",
  s_unreclaim: "SUnreclaim",
  shmem: "Shmem",
  shmem_hugepages: "ShmemHugePages",
  shmem_pmd_mapped: "ShmemPmdMapped",
  slab: "Slab",
  swap_cached: "SwapCached",
  swap_free: "SwapFree",
  swap_total: "SwapTotal",
  unevictable: "Unevictable",
  vmalloc_chunk: "VmallocChunk",
  vmalloc_total: "VmallocTotal",
  vmalloc_used: "VmallocUsed",
  writeback: "Writeback",
  writeback_tmp: "WritebackTmp",
};

/** What the kernel says of the guest, under upstream's names. What cannot be read is left out. */
export function guest(read: ReadProc): readonly Family[] {
  const gauge = (name: string, help: string, samples: readonly Sample[]): Family => ({
    name: `kata_guest_${name}`,
    help,
    type: "gauge",
    samples,
  });
  const [load1, load5, load15, tasks = ""] = (read("loadavg") ?? "").split(" ");
  const loads = [load1, load5, load15].map(Number);
  const known = tasks !== "";
  const items = (names: readonly string[], values: readonly number[]): readonly Sample[] =>
    itemized(names.map((name, at) => [name, values[at] ?? 0]));
  return [
    gauge("load", "Guest system load.", known ? items(["load1", "load5", "load15"], loads) : []),
    gauge("tasks", "Guest system load.", known ? items(["cur", "max"], tasks.split("/").map(Number)) : []),
    gauge("cpu_time", "Guest CPU statistics.", cpuTimes(read("stat") ?? "")),
    gauge("vm_stat", "Guest virtual memory statistics.", itemized([...keyed(read("vmstat") ?? "")])),
    gauge("netdev_stat", "Guest net devices statistics.", interfaces(read("net/dev") ?? "")),
    gauge("diskstat", "Disks statistics in system.", disks(read("diskstats") ?? "")),
    gauge("meminfo", "Statistics about memory usage in the system.", memory(read("meminfo") ?? "")),
  ];
}

/** In milliseconds, of each processor and of all. */
function cpuTimes(text: string): readonly Sample[] {
  return [...text.matchAll(/^cpu(\d*) +(.*)$/gmu)].flatMap(([, cpu = "", line = ""]) => {
    const values = fields(line);
    return CPU.map((item, at) => ({
      labels: { cpu: cpu === "" ? "total" : cpu, item },
      value: (values[at] ?? 0) * (1000 / TICKS_PER_SECOND),
    }));
  });
}

function interfaces(text: string): readonly Sample[] {
  return [...text.matchAll(/^ *([^\s:|]+): *(.*)$/gmu)].flatMap(([, name = "", line = ""]) => {
    const values = fields(line);
    return NET.map((item, at) => ({ labels: { interface: name, item }, value: values[at] ?? 0 }));
  });
}

function disks(text: string): readonly Sample[] {
  return [...text.matchAll(/^ *\d+ +\d+ +(\S+) +(.*)$/gmu)].flatMap(([, disk = "", line = ""]) => {
    const values = fields(line);
    return DISK.map((item, at) => ({ labels: { disk, item }, value: values[at] ?? 0 }));
  });
}

/** In bytes, but for numbers of pages. */
function memory(text: string): readonly Sample[] {
  const found = keyed(text);
  if (found.size === 0) return [];
  const pages = /^HugePages_/u;
  return itemized(
    Object.entries(MEMORY).map(([item, key]) => [item, (found.get(key) ?? 0) * (pages.test(key) ? 1 : 1024)]),
  );
}
