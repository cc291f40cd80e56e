import { existsSync } from "node:fs";

import type { PolicyEngine } from "@nacre/agent-policy";
import type { Reaper, Syscalls } from "@nacre/kata-sys-util";
import type { Tracer } from "@nacre/protocols";

import { DataHubClient } from "./cdh.ts";
import { type AgentConfig, runtimeBinary } from "./config.ts";
import { ContainerManager, OciRuntime, systemContainerPorts } from "./container/index.ts";
import { FileCopier } from "./copy-file.ts";
import { ContainerCreator } from "./create-container.ts";
import { PolicyGate } from "./gate.ts";
import { CDH_SOCKET } from "./launch/component.ts";
import type { ComponentState } from "./launch/supervise.ts";
import type { Logger } from "./log.ts";
import { AgentMetrics } from "./metrics/metrics.ts";
import { GuestNetwork } from "./network/guest-network.ts";
import { OomEvents } from "./oom-events.ts";
import { CONTAINER_STATE, RUNTIME_STATE, SHARED_ROOT, STATE_ROOT } from "./paths.ts";
import { Sandbox } from "./sandbox.ts";
import type { AgentParts } from "./service/index.ts";
import { EphemeralDriver } from "./storage/ephemeral.ts";
import { ImageGuestPullDriver } from "./storage/image-guest-pull.ts";
import { LocalDriver } from "./storage/local.ts";
import { StorageRegistry } from "./storage/registry.ts";
import { Unsealing } from "./unseal/unsealing.ts";

export interface AssembleOptions {
  readonly config: AgentConfig;
  readonly policy: PolicyEngine;
  readonly syscalls: Syscalls;
  /** Started already: it must be there before the first child. */
  readonly reaper: Reaper;
  readonly log: Logger;
  readonly tracer: Tracer;
  /** How the guest components are. */
  readonly components: () => ReadonlyMap<string, Readonly<ComponentState>>;
  readonly shutdown: () => void;
}

/** Puts the agent together: every part gets what it needs here and nowhere else. */
export function assemble(options: AssembleOptions): AgentParts {
  const { config, policy, syscalls, reaper, log, tracer, components, shutdown } = options;
  const hub = new DataHubClient({ address: `unix://${CDH_SOCKET}`, pullTimeoutMs: config.imagePullTimeoutMs });
  const gate = new PolicyGate(policy, log.child("policy"));
  const pull = new ImageGuestPullDriver(syscalls, hub, (pulled, signal) => gate.requireImage(pulled, signal));
  const storages = new StorageRegistry(
    [new EphemeralDriver(syscalls), new LocalDriver(syscalls), pull],
    log.child("storage"),
  );
  const oomEvents = new OomEvents();
  const ports = systemContainerPorts(syscalls, log.child("container"), STATE_ROOT);
  const runtime = runtimeBinary(config, ports.cgroups.version, existsSync);
  log.info("OCI runtime", { runtime, cgroups: ports.cgroups.version });
  const containers = new ContainerManager({
    ...ports,
    runtime: new OciRuntime({ binary: runtime, root: RUNTIME_STATE }),
    reaper,
    log: log.child("container"),
    paths: { state: CONTAINER_STATE, sysctl: "/proc/sys" },
    onOom: (id) => oomEvents.add(id),
  });
  const sandbox: Sandbox = new Sandbox({
    syscalls,
    storages,
    log: log.child("sandbox"),
    hasContainers: () => creator.any,
  });
  const creator: ContainerCreator = new ContainerCreator({
    policy,
    containers,
    sandbox,
    storages,
    syscalls,
    unsealing: new Unsealing({ hub, onFailure: config.unsealFailure, log: log.child("container") }),
    log: log.child("container"),
    tracer,
  });
  return {
    gate,
    policy,
    containers,
    creator,
    sandbox,
    storages,
    copier: new FileCopier(syscalls, SHARED_ROOT),
    oomEvents,
    network: new GuestNetwork({
      syscalls,
      log: log.child("network"),
      hotplugTimeoutMs: config.hotplugTimeoutMs,
    }),
    metrics: new AgentMetrics(components),
    syscalls,
    log,
    shutdown,
  };
}
