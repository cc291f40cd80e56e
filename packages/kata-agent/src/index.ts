export { AGENT_VERSION, API_VERSION } from "./version.ts";
export { CDH_SOCKET } from "./launch/component.ts";
export { DEFAULT_POLICY_FILE } from "./config.ts";
export { KATA_ROOT, PAUSE_BUNDLE, SHARED_ROOT } from "./paths.ts";
export { UNIMPLEMENTED_METHODS } from "./service/unimplemented.ts";
