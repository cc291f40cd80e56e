import { randomBytes } from "node:crypto";
import { existsSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { AgentService, type grpc, type Init } from "@nacre/protocols";

import { type Agent, AgentRefusal } from "./agent.ts";
import { containerRequest, sandboxRequest } from "./container-spec.ts";
import { type ContainerRecord, ContainerStore } from "./container-store.ts";
import { describeError } from "./error.ts";
import type { Guest } from "./guest/guest.ts";
import { fileText } from "./file-text.ts";
import type { Interrupt } from "./interrupts.ts";

const { CreateContainer, CreateSandbox, ExecProcess, RemoveContainer, SetPolicy, SignalProcess, StartContainer } =
  AgentService.methods;

/** A pull may take long; a runtime's own limit for it is not much shorter. */
const CREATE_TIMEOUT_MS: number = 10 * 60 * 1000;
const CALL_TIMEOUT_MS = 60_000;
/** How the agent says that there is a sandbox. */
const SANDBOX_EXISTS = "the sandbox was created before";
/** The other command has a pause container to make; a sandbox that was made by hand never gets a file. */
const SANDBOX_TIMEOUT_MS = 15_000;
const SIGKILL = 9;
/** Numbers of the signals that are passed on (signal(7)). */
const SIGNAL_NUMBERS: Readonly<Record<Interrupt, number>> = { SIGHUP: 1, SIGINT: 2, SIGTERM: 15 };
/** What the agent says of a container that it does not have. */
const UNKNOWN_CONTAINER = /invalid container ?id/iu;

/** A process in the guest. */
export interface ProcessIds {
  readonly container_id: string;
  readonly exec_id: string;
}

/** The one pod of a guest: a sandbox with its pause container, and containers by name. */
export class Pod {
  readonly guest: Guest;
  readonly containers: ContainerStore;
  readonly #agent: Agent;

  constructor(guest: Guest, agent: Agent) {
    this.guest = guest;
    this.#agent = agent;
    this.containers = new ContainerStore(guest.layout.containers);
  }

  get #sandboxFile(): string {
    return join(this.guest.layout.folder, "sandbox");
  }

  async setPolicy(policy: string, signal?: AbortSignal): Promise<void> {
    await this.#agent.call(SetPolicy, { policy }, { timeoutMs: CALL_TIMEOUT_MS, signal });
  }

  /** Makes the sandbox and starts its pause container, once a guest. Resolves with the sandbox's id. */
  async sandbox(signal?: AbortSignal): Promise<string> {
    const file = this.#sandboxFile;
    if (existsSync(file)) return readFileSync(file, "utf8");
    const id = randomBytes(32).toString("hex");
    try {
      await this.#agent.call(CreateSandbox, sandboxRequest(id, "nacre"), { timeoutMs: CALL_TIMEOUT_MS, signal });
    } catch (error) {
      if (!(error instanceof AgentRefusal) || !error.text.includes(SANDBOX_EXISTS)) throw error;
      // Another command was first and is at it.
      return await fileText(file, SANDBOX_TIMEOUT_MS, signal);
    }
    const pause = containerRequest({
      id,
      sandboxId: id,
      name: "pause",
      image: "pause",
      process: { Args: ["/pause"], Cwd: "/" },
    });
    await this.#agent.call(CreateContainer, pause, { timeoutMs: CALL_TIMEOUT_MS, signal });
    await this.#agent.call(StartContainer, { container_id: id }, { timeoutMs: CALL_TIMEOUT_MS, signal });
    this.hasSandbox(id);
    return id;
  }

  /** Remembers a sandbox that was made, for the commands that come later. */
  hasSandbox(id: string): void {
    const file = this.#sandboxFile;
    // Whoever sees the file reads all of it.
    writeFileSync(`${file}.new`, id, { mode: 0o600 });
    renameSync(`${file}.new`, file);
  }

  /** Pulls the image in the guest and creates the container; its process waits for {@link start}. */
  async create(
    { name, image, process }: Pick<ContainerRecord, "name" | "image" | "process">,
    signal?: AbortSignal,
  ): Promise<ContainerRecord> {
    const sandboxId = await this.sandbox(signal);
    const id = randomBytes(32).toString("hex");
    return await this.make({ name, image, id }, containerRequest({ id, sandboxId, name, image, process }), signal);
  }

  /** Creates a container by this very request, under a name. */
  async make(
    { name, image, id }: Pick<ContainerRecord, "name" | "image" | "id">,
    request: Init<grpc.CreateContainerRequest>,
    signal?: AbortSignal,
  ): Promise<ContainerRecord> {
    const process = request.OCI?.Process ?? {};
    const record: ContainerRecord = { name, id, image, created: new Date().toISOString(), process };
    this.containers.add(record);
    try {
      await this.#agent.call(CreateContainer, request, { timeoutMs: CREATE_TIMEOUT_MS, signal });
    } catch (error) {
      this.containers.remove(name);
      throw error;
    }
    return record;
  }

  /** Starts a created container. One that does not start is removed. */
  async start(record: ContainerRecord, signal?: AbortSignal): Promise<ProcessIds> {
    try {
      await this.#agent.call(StartContainer, { container_id: record.id }, { timeoutMs: CALL_TIMEOUT_MS, signal });
    } catch (error) {
      // The first failure is the one to tell.
      await this.remove(record).catch(() => undefined);
      throw error;
    }
    return { container_id: record.id, exec_id: record.id };
  }

  /** Starts a further process. */
  async exec(record: ContainerRecord, process: Init<grpc.Process>, signal?: AbortSignal): Promise<ProcessIds> {
    const ids = { container_id: record.id, exec_id: randomBytes(16).toString("hex") };
    await this.#agent.call(ExecProcess, { ...ids, process }, { timeoutMs: CALL_TIMEOUT_MS, signal });
    return ids;
  }

  /** Passes a signal on. A process that is gone needs none. */
  async signal(ids: ProcessIds, signal: Interrupt | "SIGKILL" | number): Promise<void> {
    const number = typeof signal === "number" ? signal : signal === "SIGKILL" ? SIGKILL : SIGNAL_NUMBERS[signal];
    await this.#agent
      .call(SignalProcess, { ...ids, signal: number }, { timeoutMs: CALL_TIMEOUT_MS })
      .catch(() => undefined);
  }

  /** Ends what runs in a container and takes it away. */
  async remove(record: ContainerRecord): Promise<void> {
    const ids = { container_id: record.id };
    try {
      // No exec id: every process of the container.
      await this.#agent.call(SignalProcess, { ...ids, signal: SIGKILL }, { timeoutMs: CALL_TIMEOUT_MS });
    } catch {
      // It may have ended before; what counts is the removal.
    }
    try {
      await this.#agent.call(RemoveContainer, ids, { timeoutMs: CALL_TIMEOUT_MS });
    } catch (error) {
      if (!isUnknownContainer(error)) throw error;
    }
    this.containers.remove(record.name);
  }
}

/** Whether the agent says that it has no such container. */
export function isUnknownContainer(error: unknown): boolean {
  return error instanceof AgentRefusal && UNKNOWN_CONTAINER.test(describeError(error));
}
