/** What Health.Version and GetGuestDetails answer: the upstream release whose wire this agent speaks. */
export const AGENT_VERSION = "4.1.0";

/** The version of the agent's gRPC API, as upstream reports it (section 1.3). */
export const API_VERSION = "0.0.1";
