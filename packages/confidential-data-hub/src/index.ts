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
export { AgentTokens, type TokenSource } from "./resource/agent-tokens.ts";
export { brokerResources, type BrokerOptions } from "./resource/broker.ts";
export {
  type Credential,
  CREDENTIALS_ROOT,
  mergeCredentials,
  parseCredentials,
  parseKernelCredentials,
  SIGNING_KEYS_ROOT,
  writeCredentials,
} from "./resource/credentials.ts";
export { offlineResources } from "./resource/offline.ts";
export { noResources, type Resources } from "./resource/resources.ts";
export { hubReason } from "./reason.ts";
export { secureMountService } from "./secure-mount-service.ts";
export { openResources } from "./resource/open-resources.ts";
export { resourceService } from "./resource/resource-service.ts";
export { type ConfigSources, DEFAULT_CONFIG, loadConfig } from "./load-config.ts";
