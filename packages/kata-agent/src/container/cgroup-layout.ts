import { posix } from "node:path";

/** Controllers that containers get on the first version of cgroups; the names are those in the mount options. */
const CONTROLLERS = [
  "cpu",
  "cpuacct",
  "cpuset",
  "memory",
  "devices",
  "freezer",
  "blkio",
  "pids",
  "hugetlb",
  "net_cls",
  "net_prio",
  "perf_event",
  "rdma",
  "misc",
] as const;
export type CgroupController = (typeof CONTROLLERS)[number];

/** Where this guest's control groups are mounted. */
export interface CgroupLayout {
  /** 2 when only the unified hierarchy carries controllers. */
  readonly version: 1 | 2;
  /** Mount point of the unified hierarchy; on version 1 it may be there beside the others (hybrid). */
  readonly unified: string | undefined;
  /** Mount points by controller, version 1 only. */
  readonly controllers: ReadonlyMap<CgroupController, string>;
  /** Every mount point of a hierarchy, also named ones without a controller. */
  readonly all: readonly string[];
  /** Groups of the agent itself below the hierarchies' roots; empty when it is in the roots. */
  readonly own: readonly string[];
}

/** Reads the texts of /proc/self/mountinfo and /proc/self/cgroup. Octal escapes in mount points are undone. */
export function parseCgroupMounts(mountinfo: string, self: string = ""): CgroupLayout {
  const controllers = new Map<CgroupController, string>();
  const all: string[] = [];
  let unified: string | undefined;
  for (const line of mountinfo.split("\n")) {
    const [left, right] = line.split(" - ", 2);
    const mountPoint = unescape(left?.split(" ")[4] ?? "");
    const [type, , options] = right?.split(" ") ?? [];
    if (mountPoint === "") continue;
    if (type === "cgroup2") {
      unified ??= mountPoint;
      if (!all.includes(mountPoint)) all.push(mountPoint);
    } else if (type === "cgroup") {
      if (!all.includes(mountPoint)) all.push(mountPoint);
      for (const option of options?.split(",") ?? []) {
        const controller = CONTROLLERS.find((name) => name === option);
        if (controller !== undefined && !controllers.has(controller)) controllers.set(controller, mountPoint);
      }
    }
  }
  const groups = self.split("\n").map((line) => line.split(":").slice(2).join(":"));
  const own = [...new Set(groups)].filter((path) => path !== "" && path !== "/");
  return { version: controllers.size > 0 ? 1 : 2, unified, controllers, all, own };
}

/**
 * The control group of a container, absolute below the hierarchy's root (spec 3.8): colons become slashes, and a
 * container without a path gets its own id. `..` cannot lead out because the result is normalised from the root.
 */
export function cgroupPath(specPath: string, id: string): string {
  const path = posix.normalize(`/${specPath.replaceAll(":", "/")}`).replace(/\/+$/, "");
  return path === "" ? `/${id}` : path;
}

/** Whether one group is the other or lies in it: what ends or freezes the outer one then reaches both. */
export function groupsOverlap(a: string, b: string): boolean {
  return a === b || a.startsWith(`${b}/`) || b.startsWith(`${a}/`);
}

function unescape(text: string): string {
  return text.replaceAll(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)));
}
