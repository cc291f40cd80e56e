export {
  configFromKernel,
  DEFAULT_AGENT_SOCKET,
  DEFAULT_SOCKET,
  DEFAULT_WORK_DIR,
  type HubConfig,
  type ImageSettings,
  type KbcSettings,
  parseConfig,
} from "./config.ts";
export { ConfigError, HubError, type HubErrorCode } from "./error.ts";
export { imageService, type Puller } from "./image-service.ts";
export { brokerResources, type BrokerOptions, noResources, type Resources } from "./resource/broker.ts";
export { agentToken } from "./resource/agent-token.ts";
export { openResources } from "./resource/open-resources.ts";
export { resourceService } from "./resource/resource-service.ts";
export { type ConfigSources, DEFAULT_CONFIG, loadConfig } from "./load-config.ts";
