import { existsSync } from "node:fs";
import { lstat, mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { stringifyLossless } from "@nacre/protocols";
import { AgentError, describeError, internalError, invalidArgument } from "../error.ts";
import type { Logger } from "../log.ts";
import { type CgroupLayout, groupsOverlap } from "./cgroup-layout.ts";
import { Cgroup } from "./cgroup.ts";
import { checkContainerId, runtimeId } from "./container-id.ts";
import { Container } from "./container.ts";
import { describeErrno } from "./errno.ts";
import { convertSpec, type ConvertedSpec, type JoinedNamespaces } from "./oci-spec.ts";
import type { ExitWatcher, IoFactory, OomWatch, ProcessPort } from "./ports.ts";
import { ProcessLauncher } from "./process-launcher.ts";
import type { OciRuntime } from "./runtime.ts";
import { sysctlFile } from "./sysctl.ts";
import type { SpecTree } from "./tree.ts";

export interface ContainerManagerOptions {
  runtime: OciRuntime;
  io: IoFactory;
  reaper: ExitWatcher;
  processes: ProcessPort;
  cgroups: CgroupLayout;
  log: Logger;
  paths: {
    /** Scratch folders of containers; on tmpfs, ours alone. */
    state: string;
    /** /proc/sys. */
    sysctl: string;
  };
  /** Starts watching a container's control group; undefined where the guest cannot. */
  watchOom: (cgroup: Cgroup, killed: () => void) => OomWatch | undefined;
  /** A process of the container was killed for want of memory. */
  onOom: (containerId: string) => void;
}

export interface CreateOptions {
  id: string;
  /** The host's specification with Root.Path as the guest has it. */
  spec: SpecTree;
  /** Where config.json is written for the moment; on tmpfs. */
  bundleDir: string;
  /** Namespaces of the sandbox that the container joins, as paths. */
  namespaces: JoinedNamespaces;
  /** The sandbox's own container is not watched for lack of memory (spec 1.3). */
  sandbox?: boolean;
  signal?: AbortSignal;
}

/** Creates, finds and removes containers. No lock spans two containers. */
export class ContainerManager {
  readonly #options: ContainerManagerOptions;
  readonly #launcher: ProcessLauncher;
  readonly #containers = new Map<string, Container>();
  /** Control groups by container id, also of containers that are being created. */
  readonly #reserved = new Map<string, string | undefined>();

  constructor(options: ContainerManagerOptions) {
    this.#options = options;
    this.#launcher = new ProcessLauncher(options);
  }

  /** Makes a container whose first process waits for start. On failure nothing of it is left. */
  async create(options: CreateOptions): Promise<Container> {
    const { id } = options;
    checkContainerId(id);
    // The real agent says this and then destroys the container that has the id (golden-findings 6).
    if (this.#reserved.has(id)) throw internalError("exec fifo exists", `container id ${id} is in use`);
    this.#reserved.set(id, undefined);
    try {
      const spec = convertSpec(options.spec, {
        id,
        namespaces: options.namespaces,
        cgroupVersion: this.#options.cgroups.version,
      });
      this.#refuseOverlap(spec.cgroupPath);
      this.#reserved.set(id, spec.cgroupPath);
      const container = await this.#create(options, spec);
      this.#containers.set(id, container);
      return container;
    } catch (error) {
      this.#reserved.delete(id);
      throw error;
    }
  }

  get(id: string): Container | undefined {
    return this.#containers.get(id);
  }

  list(): readonly Container[] {
    return [...this.#containers.values()];
  }

  /**
   * Ends a container and forgets it. `timeoutMs` 0 is no limit; on a time-out the container stays known. Of two calls
   * at once only one succeeds, so that what belongs to the container is given back once.
   */
  async remove(id: string, options: { timeoutMs: number }): Promise<void> {
    const container = this.#containers.get(id);
    if (container === undefined) throw internalError("Invalid container id");
    await container.destroy(options);
    if (this.#containers.get(id) !== container) throw internalError("Invalid container id");
    this.#containers.delete(id);
    try {
      await rm(this.#directory(id), { recursive: true, force: true });
    } finally {
      this.#reserved.delete(id);
    }
  }

  /** Freezing or ending a group takes those below it along, so no two may lie in one another, nor in the agent's own. */
  #refuseOverlap(path: string): void {
    for (const own of this.#options.cgroups.own) {
      if (groupsOverlap(own, path)) throw invalidArgument(`control group ${path} is the guest's own`);
    }
    for (const [other, taken] of this.#reserved) {
      if (taken !== undefined && groupsOverlap(taken, path)) {
        throw invalidArgument(`control group ${path} is that of container ${other}`);
      }
    }
  }

  async #create(options: CreateOptions, spec: ConvertedSpec): Promise<Container> {
    const { runtime, cgroups, log } = this.#options;
    const { id, bundleDir, signal } = options;
    await checkRoot(spec.rootPath);
    await this.#writeSysctls(spec);
    const name = runtimeId(id);
    const directory = this.#directory(id);
    const cgroup = new Cgroup(cgroups, spec.cgroupPath);
    await mkdir(directory, { recursive: true, mode: 0o700 });
    const configFile = join(bundleDir, "config.json");
    try {
      // May hold a secret in its environment; an image's own, written by the puller, must not shine through.
      await rm(configFile, { force: true });
      await writeFile(configFile, stringifyLossless(spec.config), { mode: 0o600, flag: "wx" });
      const init = await this.#launcher.launch(id, spec.terminal, signal, (io) =>
        runtime.create({ id: name, bundle: bundleDir, directory, io, signal }),
      );
      return new Container({
        id,
        runtimeId: name,
        directory,
        init,
        runtimeProgram: this.#launcher.processes.program(init.pid),
        inherited: spec.inherited,
        cgroup,
        runtime,
        launcher: this.#launcher,
        sharesPid: options.namespaces.pid !== undefined,
        log,
        watchOom: () =>
          options.sandbox === true
            ? undefined
            : this.#options.watchOom(cgroup, () => {
                this.#options.onOom(id);
              }),
      });
    } catch (error) {
      await this.#discard(name, directory, cgroup);
      throw error;
    } finally {
      await rm(configFile, { force: true });
    }
  }

  /** Removes what a failed create may have left; its own failures are logged, the first error is what counts. */
  async #discard(name: string, directory: string, cgroup: Cgroup): Promise<void> {
    const { runtime, log } = this.#options;
    const attempt = async (work: () => Promise<void>): Promise<void> => {
      try {
        await work();
      } catch (error) {
        log.warning("failed create not fully removed", { container: name, error: describeError(error) });
      }
    };
    // Only what the runtime knows of can be deleted through it; a runtime that was killed may not have got that far.
    if (existsSync(runtime.stateDirectory(name))) await attempt(() => runtime.delete(name, directory));
    await attempt(async () => {
      await Promise.all(cgroup.killListed(this.#launcher.kill).map((pid) => this.#launcher.ended(pid)));
      if (!cgroup.remove()) throw internalError(`control group ${cgroup.path} is still in use`);
    });
    await rm(runtime.stateDirectory(name), { recursive: true, force: true });
    await rm(directory, { recursive: true, force: true });
  }

  async #writeSysctls(spec: ConvertedSpec): Promise<void> {
    for (const [name, value] of spec.netSysctls) {
      try {
        await writeFile(sysctlFile(this.#options.paths.sysctl, name), value, { flag: "r+" });
      } catch (error) {
        throw internalError(`sysctl ${name}`, describeErrno(error));
      }
    }
  }

  #directory(id: string): string {
    return join(this.#options.paths.state, runtimeId(id));
  }
}

/** The root must be a directory itself: a link could point anywhere in the guest (spec 3.8, validators). */
async function checkRoot(path: string): Promise<void> {
  const status = await lstat(path).catch((error: unknown): AgentError => internalError(path, describeErrno(error)));
  if (status instanceof AgentError) throw status;
  if (status.isSymbolicLink()) throw internalError(`root path ${path} is a symbolic link`);
  if (!status.isDirectory()) throw internalError(`root path ${path} is not a directory`);
}
