import { internalError } from "../error.ts";
import type { Logger } from "../log.ts";
import type { CgroupController } from "./cgroup-layout.ts";
import type { Cgroup } from "./cgroup.ts";
import { describeErrno } from "./errno.ts";
import type { ResourcesTree } from "./tree.ts";

/**
 * Applies UpdateContainer's resources by writing the control files (spec 3.8, golden-findings 17). Zero and empty mean
 * "leave it". Memory, processor time and process limits that the kernel refuses are errors that name file and value;
 * the rest is logged only, as the real agent does. Device rules of an update are ignored: the container's set stays.
 */
export function updateCgroup(cgroup: Cgroup, resources: ResourcesTree, log: Logger): void {
  const writer = new Writer(cgroup, log);
  updateMemory(writer, resources);
  updateCpu(writer, resources);
  const pids = resources.Pids?.Limit ?? 0n;
  if (pids !== 0n) writer.must("pids", "pids.max", pids > 0n ? String(pids) : "max");
  updateBlkio(writer, resources);
  for (const limit of resources.HugepageLimits) {
    const file = writer.unified ? `hugetlb.${limit.Pagesize}.max` : `hugetlb.${limit.Pagesize}.limit_in_bytes`;
    // The page size becomes part of a file name.
    if (/^\d+[KMG]B$/.test(limit.Pagesize)) writer.should("hugetlb", file, String(limit.Limit));
  }
}

class Writer {
  readonly unified: boolean;
  readonly #cgroup: Cgroup;
  readonly #log: Logger;

  constructor(cgroup: Cgroup, log: Logger) {
    this.unified = cgroup.layout.version === 2;
    this.#cgroup = cgroup;
    this.#log = log;
  }

  read(controller: CgroupController, file: string): string {
    return this.#cgroup.read(controller, file)?.trim() ?? "";
  }

  must(controller: CgroupController, file: string, value: string): void {
    try {
      this.#cgroup.write(controller, file, value);
    } catch (error) {
      const reason = describeErrno(error);
      throw internalError(`unable to write to a control group file ${file}, value ${value}`, reason);
    }
  }

  should(controller: CgroupController, file: string, value: string): void {
    try {
      this.#cgroup.write(controller, file, value);
    } catch (error) {
      this.#log.warning("control group file not written", { file, value, error: describeErrno(error) });
    }
  }
}

function updateMemory(writer: Writer, resources: ResourcesTree): void {
  const limit = resources.Memory?.Limit ?? 0n;
  const swap = resources.Memory?.Swap ?? 0n;
  const reservation = resources.Memory?.Reservation ?? 0n;
  if (writer.unified) {
    if (limit !== 0n) writer.must("memory", "memory.max", limit > 0n ? String(limit) : "max");
    // The host's figure is memory and swap together; this file holds swap alone.
    if (swap < 0n) writer.must("memory", "memory.swap.max", "max");
    else if (swap > 0n && limit > 0n && swap >= limit) writer.must("memory", "memory.swap.max", String(swap - limit));
    if (reservation !== 0n) writer.must("memory", "memory.low", reservation > 0n ? String(reservation) : "max");
    return;
  }
  const writeLimit = (): void => {
    if (limit !== 0n) writer.must("memory", "memory.limit_in_bytes", String(limit));
  };
  const writeSwap = (): void => {
    if (swap !== 0n) writer.must("memory", "memory.memsw.limit_in_bytes", String(swap));
  };
  // The kernel holds limit <= limit with swap after each write, so the order depends on the direction.
  const current = writer.read("memory", "memory.memsw.limit_in_bytes");
  const raises = swap < 0n || (/^\d+$/.test(current) && swap > BigInt(current));
  if (raises) {
    writeSwap();
    writeLimit();
  } else {
    writeLimit();
    writeSwap();
  }
  if (reservation !== 0n) writer.must("memory", "memory.soft_limit_in_bytes", String(reservation));
}

/** Shares run from 2 to 262144, weights from 1 to 10000; this is the mapping that the OCI runtimes agree on. */
function sharesToWeight(shares: bigint): bigint {
  const bounded = shares < 2n ? 2n : shares > 262_144n ? 262_144n : shares;
  return 1n + ((bounded - 2n) * 9999n) / 262_142n;
}

function updateCpu(writer: Writer, resources: ResourcesTree): void {
  const cpu = resources.CPU;
  if (cpu === null) return;
  const { Shares: shares, Period: period, Quota: quota } = cpu;
  if (shares !== 0n) {
    if (writer.unified) writer.must("cpu", "cpu.weight", String(sharesToWeight(shares)));
    else writer.must("cpu", "cpu.shares", String(shares));
  }
  if (writer.unified) {
    if (quota !== 0n || period !== 0n) {
      const [currentQuota = "max", currentPeriod = "100000"] = writer.read("cpu", "cpu.max").split(" ");
      const newQuota = quota > 0n ? String(quota) : quota < 0n ? "max" : currentQuota;
      writer.must("cpu", "cpu.max", `${newQuota} ${period === 0n ? currentPeriod : String(period)}`);
    }
  } else {
    updateQuota(writer, quota, period);
  }
  if (cpu.Cpus !== "") writer.should("cpuset", "cpuset.cpus", cpu.Cpus);
  if (cpu.Mems !== "") writer.should("cpuset", "cpuset.mems", cpu.Mems);
}

/** Quota and period are two files; one order may break a parent's limit for a moment where the other does not. */
function updateQuota(writer: Writer, quota: bigint, period: bigint): void {
  const writePeriod = (): void => writer.should("cpu", "cpu.cfs_period_us", String(period));
  const writeQuota = (): void => writer.must("cpu", "cpu.cfs_quota_us", String(quota));
  if (quota === 0n) {
    if (period !== 0n) writePeriod();
    return;
  }
  if (period === 0n) return writeQuota();
  try {
    writeQuota();
    writePeriod();
  } catch {
    writePeriod();
    writeQuota();
  }
}

function updateBlkio(writer: Writer, resources: ResourcesTree): void {
  const blkio = resources.BlockIO;
  if (blkio === null) return;
  const weightFile = writer.unified ? "io.bfq.weight" : "blkio.bfq.weight";
  if (blkio.Weight !== 0) writer.should("blkio", weightFile, String(blkio.Weight));
  const throttles = [
    ["ThrottleReadBpsDevice", "read_bps", "rbps"],
    ["ThrottleWriteBpsDevice", "write_bps", "wbps"],
    ["ThrottleReadIOPSDevice", "read_iops", "riops"],
    ["ThrottleWriteIOPSDevice", "write_iops", "wiops"],
  ] as const;
  for (const [field, legacy, unified] of throttles) {
    for (const { Major, Minor, Rate } of blkio[field]) {
      const device = `${Major}:${Minor}`;
      if (writer.unified) writer.should("blkio", "io.max", `${device} ${unified}=${Rate}`);
      else writer.should("blkio", `blkio.throttle.${legacy}_device`, `${device} ${Rate}`);
    }
  }
}
