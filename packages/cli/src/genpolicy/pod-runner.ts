import { randomBytes } from "node:crypto";

import {
  containerRequests,
  type Pod as Manifested,
  type PodContainer,
  pauseRequests,
  podHost,
  type PodHost,
  sandboxRequest,
} from "@nacre/genpolicy";
import { AgentService, type grpc, type Init } from "@nacre/protocols";

import type { Agent } from "../agent.ts";
import type { ContainerRecord } from "../container-store.ts";
import type { Guest } from "../guest/guest.ts";
import type { Pod, ProcessIds } from "../pod.ts";

const { CopyFile, CreateContainer, CreateSandbox, StartContainer } = AgentService.methods;

const CALL_TIMEOUT_MS = 60_000;

/** A pod of a manifest in a guest of its own: asks the agent for what a Kata runtime would ask, and nothing else. */
export class PodRunner {
  readonly #manifested: Manifested;
  readonly #pod: Pod;
  readonly #agent: Agent;
  readonly #host: PodHost;
  readonly #signal: AbortSignal;

  constructor(manifested: Manifested, guest: Guest, { pod, agent }: { pod: Pod; agent: Agent }, signal: AbortSignal) {
    this.#manifested = manifested;
    this.#pod = pod;
    this.#agent = agent;
    this.#signal = signal;
    this.#host = podHost(manifested, {
      random: (length) => randomBytes(length).toString("hex").slice(0, length),
      address: guest.address,
    });
  }

  /** The sandbox with its own container. */
  async begin(): Promise<void> {
    const options = { timeoutMs: CALL_TIMEOUT_MS, signal: this.#signal };
    await this.#agent.call(CreateSandbox, sandboxRequest(this.#host), options);
    const { id, copies, create } = pauseRequests(this.#manifested, this.#host);
    await this.#copy(copies);
    await this.#agent.call(CreateContainer, create, options);
    await this.#agent.call(StartContainer, { container_id: id }, options);
    this.#pod.hasSandbox(id);
  }

  /** Copies a container's files in, makes and starts it. */
  async start(container: PodContainer): Promise<{ readonly record: ContainerRecord; readonly ids: ProcessIds }> {
    const { id, copies, create } = containerRequests(container, this.#manifested, this.#host);
    await this.#copy(copies);
    const record = await this.#pod.make({ name: container.name, image: container.reference, id }, create, this.#signal);
    return { record, ids: await this.#pod.start(record, this.#signal) };
  }

  async #copy(copies: ReadonlyArray<Init<grpc.CopyFileRequest>>): Promise<void> {
    for (const copy of copies) {
      await this.#agent.call(CopyFile, copy, { timeoutMs: CALL_TIMEOUT_MS, signal: this.#signal });
    }
  }
}
