import { setImmediate } from "node:timers/promises";
import { AgentError, internalError } from "../error.ts";
import { Code } from "@nacre/protocols";
import type { Logger } from "../log.ts";
import { readCgroupStatistics, type CgroupStatistics } from "./cgroup-stats.ts";
import { updateCgroup } from "./cgroup-update.ts";
import type { Cgroup } from "./cgroup.ts";
import { Mutex } from "./mutex.ts";
import { convertExecProcess, type InheritedProcess } from "./oci-process.ts";
import type { OomWatch } from "./ports.ts";
import type { Process } from "./process.ts";
import type { ProcessLauncher } from "./process-launcher.ts";
import type { OciRuntime } from "./runtime.ts";
import { needsKill, SIGKILL, SIGTERM } from "./signals.ts";
import type { ProcessTree, ResourcesTree } from "./tree.ts";

/** Processes of one container that the host has started and not collected; each holds descriptors here. */
export const MAX_PROCESSES = 1024;

/** Longest name of an exec in bytes: names are kept, and the host's are uuids. */
export const MAX_EXEC_ID = 1024;

/** Longest time that a timer takes, in milliseconds; the host's number of seconds may be larger. */
const MAX_TIMEOUT_MS = 2 ** 31 - 1;

/** Capitalised as the real agent prints it in its texts. */
export type ContainerState = "Created" | "Running" | "Paused" | "Stopped";

export interface ContainerOptions {
  id: string;
  runtimeId: string;
  /** Scratch folder of this container; removed by the manager. */
  directory: string;
  init: Process;
  /** The program that the first process runs until it is started, as ProcessPort names it. */
  runtimeProgram: string | undefined;
  inherited: InheritedProcess;
  cgroup: Cgroup;
  runtime: OciRuntime;
  launcher: ProcessLauncher;
  /** The container shares another one's pid namespace, so ending its first process does not end the rest. */
  sharesPid: boolean;
  log: Logger;
  watchOom: () => OomWatch | undefined;
}

/** One container: its state, its processes and its limits. Made by ContainerManager. */
export class Container {
  readonly id: string;
  readonly init: Process;
  readonly cgroup: Cgroup;
  readonly #options: ContainerOptions;
  readonly #changes = new Mutex();
  readonly #processes = new Map<string, Process>();
  /** Started without a name: nobody can ask for them, they go with their end. */
  readonly #nameless = new Set<Process>();
  #paused = false;
  #started = false;
  #destroyed = false;
  #oomWatch: OomWatch | undefined;

  constructor(options: ContainerOptions) {
    this.id = options.id;
    this.init = options.init;
    this.cgroup = options.cgroup;
    this.#options = options;
    this.#processes.set(options.id, options.init);
  }

  get state(): ContainerState {
    if (this.init.status !== undefined) return "Stopped";
    if (this.#paused) return "Paused";
    return this.#started ? "Running" : "Created";
  }

  /** Processes not yet collected by {@link wait}, the first one included. */
  get processes(): readonly Process[] {
    return [...this.#processes.values(), ...this.#nameless];
  }

  /** Lets the first process go. A second call is an error where the real agent hangs (golden-findings 5). */
  async start(signal?: AbortSignal): Promise<void> {
    await this.#changes.run(signal, async () => {
      if (this.state !== "Created") {
        throw internalError(`failed to start container: current status is: ${this.state}`);
      }
      this.#oomWatch = this.#options.watchOom();
      await this.#options.runtime.start(this.#options.runtimeId, this.#options.directory);
      this.#started = true;
    });
  }

  /** Runs another process in the container. An empty `execId` is accepted; nobody can address it afterwards. */
  async exec(options: { execId: string; process: ProcessTree; signal?: AbortSignal }): Promise<Process> {
    const { execId, signal } = options;
    return this.#changes.run(signal, async () => {
      if (this.#processes.has(execId) || execId === this.id) {
        throw internalError(`exec_id '${execId}' already exists`);
      }
      if (this.state === "Paused" || this.state === "Stopped") {
        throw internalError(`failed to exec: current status is: ${this.state}`);
      }
      if (Buffer.byteLength(execId) > MAX_EXEC_ID) {
        throw new AgentError(Code.INVALID_ARGUMENT, `exec_id of more than ${MAX_EXEC_ID} bytes`);
      }
      if (this.processes.length >= MAX_PROCESSES) {
        throw new AgentError(Code.RESOURCE_EXHAUSTED, `more than ${MAX_PROCESSES} processes not waited for`);
      }
      const process = convertExecProcess(options.process, this.#options.inherited);
      const { runtime, launcher, directory, runtimeId } = this.#options;
      const started = await launcher.launch(execId, process.terminal, signal, (io) =>
        runtime.exec({ id: runtimeId, directory, process, io, signal }),
      );
      if (execId === "") this.#keepNameless(started);
      else this.#processes.set(execId, started);
      return started;
    });
  }

  #keepNameless(process: Process): void {
    this.#nameless.add(process);
    void process.exited.then(() => {
      this.#nameless.delete(process);
      process.close();
    });
  }

  /** A process by its name; empty means the first one. Undefined once collected. */
  process(execId: string): Process | undefined {
    return this.#processes.get(execId === "" ? this.id : execId);
  }

  /** As {@link process}, but NOT_FOUND with the bare name that the real agent sends (golden-findings 1). */
  findProcess(execId: string): Process {
    const process = this.process(execId);
    if (process === undefined) throw new AgentError(Code.NOT_FOUND, "InvalidExecId");
    return process;
  }

  /**
   * Waits for a process's end, closes its streams and forgets it. Several may wait at once; all get the status. When
   * the signal aborts the process stays.
   */
  async wait(execId: string, signal: AbortSignal): Promise<number> {
    const process = this.findProcess(execId);
    const status = await abortable(process.exited, signal);
    // Calls that came together with this one, and are only a few promises behind, still find the process.
    await setImmediate();
    if (this.#processes.get(process.execId) === process) this.#processes.delete(process.execId);
    process.close();
    return status;
  }

  /**
   * Signals one process (spec 3.8). An empty name with SIGKILL reaches everything in the container, also after the
   * first process was collected. SIGTERM to a first process that would not notice it becomes SIGKILL.
   */
  signal(execId: string, signal: number): void {
    if (execId === "" && signal === SIGKILL) return this.signalAll(signal);
    const process = this.findProcess(execId);
    const unheard = process === this.init && signal === SIGTERM && this.#ignoresTerm();
    process.signal(unheard ? SIGKILL : signal);
  }

  /**
   * Whether the first process would not notice SIGTERM. As long as it is still the runtime's program, which start leaves
   * a little before it is replaced, its handlers are not the container's: it has none yet.
   */
  #ignoresTerm(): boolean {
    const { launcher, runtimeProgram } = this.#options;
    const program = launcher.processes.program(this.init.pid);
    if (program === undefined) return false;
    return program === runtimeProgram || needsKill(launcher.processes.status(this.init.pid));
  }

  /** Signals everything in the container; SIGKILL also ends what is frozen. */
  signalAll(signal: number): void {
    if (signal !== SIGKILL) {
      for (const process of this.processes) process.signal(signal);
      return;
    }
    // The kernel ends a pid namespace with its first process; only a shared one leaves others behind.
    this.init.signal(SIGKILL);
    if (this.#options.sharesPid) {
      for (const process of this.processes) process.signal(SIGKILL);
      this.cgroup.kill(this.#options.launcher.kill);
    } else if (this.#paused) {
      this.cgroup.thaw();
    }
    this.#paused = false;
  }

  /** Freezes every process. After the end there is nothing to freeze, which is no error. */
  async pause(signal?: AbortSignal): Promise<void> {
    await this.#changes.run(signal, async () => {
      if (this.state === "Stopped") return;
      if (this.state === "Paused") throw internalError("failed to pause container: current status is: Paused");
      await this.#options.runtime.pause(this.#options.runtimeId, this.#options.directory);
      this.#paused = true;
    });
  }

  /** Lets a paused container run on. */
  async resume(signal?: AbortSignal): Promise<void> {
    await this.#changes.run(signal, async () => {
      if (this.state !== "Paused") throw internalError(`container status is: ${this.state}, not paused`);
      await this.#options.runtime.resume(this.#options.runtimeId, this.#options.directory);
      this.#paused = false;
    });
  }

  /** Reads the control groups; never waits for anything. Network statistics are always empty (spec 1.3). */
  stats(): { cgroup_stats: CgroupStatistics; network_stats: never[] } {
    return { cgroup_stats: readCgroupStatistics(this.cgroup), network_stats: [] };
  }

  /** Applies new limits; absent ones succeed (golden-findings 17). */
  async update(resources: ResourcesTree | null, signal?: AbortSignal): Promise<void> {
    if (resources === null) return;
    await this.#changes.run(signal, async () => updateCgroup(this.cgroup, resources, this.#options.log));
  }

  /**
   * Ends everything in the container and removes what the runtime and the kernel hold of it. `timeoutMs` 0 is no limit;
   * when it passes, the container stays and the call can be repeated.
   */
  async destroy(options: { timeoutMs: number }): Promise<void> {
    const limit =
      options.timeoutMs === 0 ? undefined : AbortSignal.timeout(Math.min(options.timeoutMs, MAX_TIMEOUT_MS));
    try {
      await this.#changes.run(limit, async () => {
        // Once only: by the time of a second call the runtime may know another container by this name.
        if (this.#destroyed) return;
        if (this.init.status === undefined || this.#options.sharesPid) this.signalAll(SIGKILL);
        await abortable(Promise.all([this.init.exited, ...this.processes.map(({ exited }) => exited)]), limit);
        this.#oomWatch?.close();
        await this.#options.runtime.delete(this.#options.runtimeId, this.#options.directory);
        this.#destroyed = true;
        for (const process of this.processes) process.close();
      });
    } catch (error) {
      if (limit?.aborted === true) throw internalError("ETIME: Timer expired");
      throw error;
    }
  }
}

/** The promise's result, or the signal's reason as soon as it aborts; the promise itself goes on. */
async function abortable<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return promise;
  signal.throwIfAborted();
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const abort = (): void => reject(signal.reason as Error);
  signal.addEventListener("abort", abort, { once: true });
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener("abort", abort);
  }
}
