export { AGENT_ARGV, AGENT_ENVIRONMENT } from "./agent.ts";
export { CGROUP_ROOT, cgroupPlan, type Hierarchy } from "./cgroup-plan.ts";
export { NODES } from "./devices.ts";
export { NvrcError, type NvrcErrorCode, oneLine } from "./error.ts";
export { type ExtensionPins, parsePins, PINS_FILE } from "./extensions/pins.ts";
export { parseVerityParams, type VerityParams, verityParamsText } from "./extensions/verity-params.ts";
export { MODULE_LIST, parseModuleList } from "./modules.ts";
export { MOUNTS, type MountPoint, mountAll, SIMULATED_MOUNTS, topmost } from "./mounts.ts";
export { MALLOC_ENVIRONMENT, NODE_FLAGS } from "./node-flags.ts";
