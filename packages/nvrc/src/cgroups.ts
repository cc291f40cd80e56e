import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { basename } from "node:path";

import { type MountCalls, mountWithOptions } from "@nacre/kata-sys-util";

import { CGROUP_ROOT, cgroupPlan } from "./cgroup-plan.ts";
import { NvrcError } from "./error.ts";

const FLAGS = ["nosuid", "noexec", "nodev", "relatime"];
/** The group of the daemons: a group of version 2 that has processes cannot give controllers to those below it. */
const DAEMONS = `${CGROUP_ROOT}/nacre`;

/** Mounts the control groups of the guest's own namespace and makes their controllers usable for containers. */
export async function mountCgroups(sys: MountCalls): Promise<void> {
  const plan = cgroupPlan(readFileSync("/proc/self/cgroup", "utf8"));
  const unified = plan.find(({ target }) => target === CGROUP_ROOT);
  try {
    if (unified === undefined) await mountWithOptions(sys, "tmpfs", CGROUP_ROOT, "tmpfs", [...FLAGS, "mode=0755"]);
    for (const { target, type, options, links } of plan) {
      if (target !== CGROUP_ROOT) mkdirSync(target, { mode: 0o755 });
      await mountWithOptions(sys, "cgroup", target, type, [...FLAGS, ...options]);
      for (const link of links) symlinkSync(basename(target), link);
    }
    if (unified !== undefined) delegate();
  } catch (cause) {
    throw new NvrcError("cgroup", "control groups", { cause });
  }
}

function delegate(): void {
  mkdirSync(DAEMONS, { mode: 0o755 });
  // All threads of this process, and with it every daemon to come.
  writeFileSync(`${DAEMONS}/cgroup.procs`, "0");
  const controllers = readFileSync(`${CGROUP_ROOT}/cgroup.controllers`, "utf8").trim().split(" ").filter(Boolean);
  writeFileSync(`${CGROUP_ROOT}/cgroup.subtree_control`, controllers.map((name) => `+${name}`).join(" "));
}
