/** One hierarchy of control groups, as it is mounted in the guest. */
export interface Hierarchy {
  readonly target: string;
  readonly type: "cgroup" | "cgroup2";
  readonly options: readonly string[];
  /** Names under which single controllers of a joint hierarchy are looked for. */
  readonly links: readonly string[];
}

export const CGROUP_ROOT = "/sys/fs/cgroup";

/**
 * The hierarchies of this guest by /proc/self/cgroup (cgroups(7)): the unified one alone, or one for each controller of
 * version 1 as the machine has joined them, and the unified one beside them.
 */
export function cgroupPlan(procSelfCgroup: string): readonly Hierarchy[] {
  const lines = procSelfCgroup.split("\n").flatMap((line) => {
    const fields = /^(\d+):([^:]*):/u.exec(line);
    return fields === null ? [] : [fields[2] ?? ""];
  });
  const legacy = lines.filter((names) => names !== "");
  if (legacy.length === 0) return [{ target: CGROUP_ROOT, type: "cgroup2", options: [], links: [] }];
  return lines.map((names): Hierarchy => {
    if (names === "") return { target: `${CGROUP_ROOT}/unified`, type: "cgroup2", options: [], links: [] };
    if (names.startsWith("name=")) {
      return { target: `${CGROUP_ROOT}/${names.slice(5)}`, type: "cgroup", options: ["none", names], links: [] };
    }
    const controllers = names.split(",");
    const links = controllers.length > 1 ? controllers.map((name) => `${CGROUP_ROOT}/${name}`) : [];
    return { target: `${CGROUP_ROOT}/${names}`, type: "cgroup", options: controllers, links };
  });
}
