import type { PolicyEngine } from "@nacre/agent-policy";
import type { Syscalls } from "@nacre/kata-sys-util";

import type { ContainerManager } from "../container/index.ts";
import type { FileCopier } from "../copy-file.ts";
import type { ContainerCreator } from "../create-container.ts";
import type { PolicyGate } from "../gate.ts";
import type { Logger } from "../log.ts";
import type { AgentMetrics } from "../metrics/metrics.ts";
import type { GuestNetwork } from "../network/guest-network.ts";
import type { OomEvents } from "../oom-events.ts";
import type { Sandbox } from "../sandbox.ts";
import type { StorageRegistry } from "../storage/registry.ts";

/** What the handlers work with. */
export interface AgentParts {
  readonly gate: PolicyGate;
  readonly policy: Pick<PolicyEngine, "replacePolicy">;
  readonly containers: ContainerManager;
  readonly creator: ContainerCreator;
  readonly sandbox: Sandbox;
  readonly storages: StorageRegistry;
  readonly copier: FileCopier;
  readonly oomEvents: OomEvents;
  readonly network: GuestNetwork;
  readonly metrics: Pick<AgentMetrics, "text">;
  readonly syscalls: Syscalls;
  readonly log: Logger;
  /** Called once the sandbox is destroyed: the reply is on its way, then the server stops and the agent exits. */
  readonly shutdown: () => void;
}
