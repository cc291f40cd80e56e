export {
  configFromKernel,
  DEFAULT_SOCKET,
  DEFAULT_WORK_DIR,
  type HubConfig,
  type ImageSettings,
  parseConfig,
} from "./config.ts";
export { ConfigError } from "./error.ts";
export { imageService, type Puller } from "./image-service.ts";
export { type ConfigSources, DEFAULT_CONFIG, loadConfig } from "./load-config.ts";
