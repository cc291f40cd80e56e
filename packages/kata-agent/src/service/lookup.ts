import { Code } from "@nacre/protocols";

import type { Container, ContainerManager, Process } from "../container/index.ts";
import { debugQuote } from "../debug-quote.ts";
import { AgentError, internalError } from "../error.ts";

/** A process by container and exec id, with the bare names that process calls answer (golden-findings 1). */
export function findProcess(containers: ContainerManager, containerId: string, execId: string): Process {
  return findOwner(containers, containerId).findProcess(execId);
}

/** The container of a process call: INVALID_ARGUMENT `InvalidContainerId`. */
export function findOwner(containers: ContainerManager, containerId: string): Container {
  const container = containers.get(containerId);
  if (container === undefined) throw new AgentError(Code.INVALID_ARGUMENT, "InvalidContainerId");
  return container;
}

/** The container of update, stats, pause and resume: INVALID_ARGUMENT with quote marks. */
export function findQuoted(containers: ContainerManager, containerId: string): Container {
  const container = containers.get(containerId);
  if (container === undefined) throw new AgentError(Code.INVALID_ARGUMENT, debugQuote("invalid container id"));
  return container;
}

/** The container of start, remove, exec and write: INTERNAL `Invalid container id`. */
export function findContainer(containers: ContainerManager, containerId: string): Container {
  const container = containers.get(containerId);
  if (container === undefined) throw internalError("Invalid container id");
  return container;
}
