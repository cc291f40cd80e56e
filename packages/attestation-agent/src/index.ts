export { AttestationAgent, type AgentParts, type MeasurementResult } from "./attestation-agent.ts";
export { type AgentConfig, configFromParams, type KbsConfig, parseConfig, type ParsedConfig } from "./config.ts";
export { AgentError, type AgentErrorCode, lastWords } from "./error.ts";
export { EVENT_LOG_PATHS, EventLog, type EventLogPaths, MAX_LOG } from "./eventlog/event-log.ts";
export { joinedLog } from "./eventlog/joined.ts";
export {
  type AgentEvent,
  cutAtEnd,
  encodeEntry,
  END,
  eventDigest,
  eventText,
  extended,
  HEADER,
} from "./eventlog/tcg2.ts";
export { bindGiven, readInitdata } from "./initdata.ts";
export { loadConfig } from "./load-config.ts";
export { logLevel } from "./log.ts";
export { DEFAULT_SOCKET, parseOptions } from "./options.ts";
export { pinnedTee } from "./pinned-tee.ts";
export { agentHandlers, GRPC_SENTENCES, TTRPC_SENTENCES, ttrpcHandlers } from "./service/handlers.ts";
export { serve } from "./service/serve.ts";
