export { AGENT_ARGV, AGENT_ENVIRONMENT, AGENT_FLAGS } from "./agent.ts";
export { CGROUP_ROOT, cgroupPlan, type Hierarchy } from "./cgroup-plan.ts";
export { NODES } from "./devices.ts";
export { NvrcError, type NvrcErrorCode, oneLine } from "./error.ts";
export { MOUNTS, type MountPoint, mountAll, topmost } from "./mounts.ts";
