import { type PolicyEngine, PolicyError } from "@nacre/agent-policy";
import type { Syscalls } from "@nacre/kata-sys-util";
import type { grpc, Tracer } from "@nacre/protocols";

import { pinBindSources } from "./bind-sources.ts";
import { isSandbox } from "./container-type.ts";
import { checkContainerId, type ContainerManager, type JoinedNamespaces } from "./container/index.ts";
import { debugQuote } from "./debug-quote.ts";
import { checkDevices, refuseCdi } from "./devices.ts";
import { describeError, internalError, invalidArgument } from "./error.ts";
import type { Logger } from "./log.ts";
import { bundlePath, RESERVED_NAMES } from "./paths.ts";
import { pauseProcessTree, readPauseProcess } from "./pause-image.ts";
import { mountRoot } from "./root-mount.ts";
import type { Sandbox } from "./sandbox.ts";
import { makeBundle, removeBundle } from "./bundle.ts";
import type { StorageRegistry } from "./storage/registry.ts";
import { unsealEnvironment } from "./unseal/environment.ts";
import { unsealMounts } from "./unseal/secret-mounts.ts";
import type { Unsealing } from "./unseal/unsealing.ts";
import { readTerminationLog, terminationLogPath } from "./termination-log.ts";

export interface ContainerCreatorOptions {
  /** Keeps something of a container from the request that creates it on. */
  readonly policy: Pick<PolicyEngine, "forget">;
  readonly containers: ContainerManager;
  readonly sandbox: Sandbox;
  readonly storages: StorageRegistry;
  readonly syscalls: Syscalls;
  readonly unsealing: Unsealing;
  readonly log: Logger;
  readonly tracer: Pick<Tracer, "span">;
}

/** What is remembered of a container beyond what runs it. */
interface Record {
  /** Mount points whose users it is among. */
  readonly storages: readonly string[];
  readonly annotations: Readonly<{ [key: string]: string }>;
  readonly mounts: readonly grpc.Mount[];
}

/**
 * CreateContainer and RemoveContainer: everything around the container itself, in the order of section 3.1. The steps
 * of one container id never overlap; nothing that one container waits for holds up another. Whatever fails, the steps
 * before it are undone (upstream leaves storages behind, a quirk).
 */
export class ContainerCreator {
  readonly #options: ContainerCreatorOptions;
  /** Ids from the start of their creation to the end of their removal. */
  readonly #known = new Map<string, Record | undefined>();
  /** Ids whose folder could not be removed, for want of descriptors, say; tried again with the next container. */
  readonly #leftovers = new Set<string>();
  readonly #making = new Set<Promise<unknown>>();
  readonly #ending = new AbortController();

  constructor(options: ContainerCreatorOptions) {
    this.#options = options;
  }

  /** Whether any container exists or is being made. */
  get any(): boolean {
    return this.#known.size > 0;
  }

  /** Throws with nothing left behind. The policy has been asked before. */
  async create(request: grpc.CreateContainerRequest, signal: AbortSignal): Promise<void> {
    try {
      await this.#checkAndCreate(request, signal);
    } catch (error) {
      if (!this.#known.has(request.container_id)) await this.#forget(request.container_id);
      throw error;
    }
  }

  async #checkAndCreate(request: grpc.CreateContainerRequest, signal: AbortSignal): Promise<void> {
    const id = request.container_id;
    checkContainerId(id);
    if (RESERVED_NAMES.has(id)) throw internalError(`invalid container ID ${id}`, new Error("the name is reserved"));
    if (request.OCI === null) throw internalError("EINVAL: Invalid argument", new Error("no OCI specification"));
    // Upstream destroys the container that has the id (golden-findings 6).
    if (this.#known.has(id)) throw internalError("exec fifo exists", new Error(`container id ${id} is in use`));
    if (!this.#options.sandbox.settled) throw internalError("the sandbox is being created or removed");
    checkDevices(request.devices);
    refuseCdi(request.OCI);
    this.#known.set(id, undefined);
    try {
      await this.#sweep(id);
      const making = this.#create(request, request.OCI, AbortSignal.any([signal, this.#ending.signal]));
      this.#making.add(making);
      this.#known.set(id, await making.finally(() => this.#making.delete(making)));
    } catch (error) {
      this.#leftovers.add(id);
      await this.#sweep(id);
      this.#known.delete(id);
      throw error;
    }
  }

  /** Ends what is being made and waits until it is undone; nothing is made any more. For the end of the sandbox. */
  async close(): Promise<void> {
    this.#ending.abort(internalError("the sandbox is being created or removed"));
    await Promise.allSettled(this.#making);
  }

  /** Ends a container and takes back what it had. `timeoutMs` 0 is no limit; when it passes, the container stays. */
  async remove(id: string, timeoutMs: number): Promise<void> {
    const { containers } = this.#options;
    await containers.remove(id, { timeoutMs });
    const record = this.#known.get(id);
    if (record === undefined) return;
    await this.#release(id, record.storages, { served: true });
    this.#known.delete(id);
    await this.#forget(id);
  }

  /** What the policy keeps of a container goes with it (kata#13891), so that its id, or its place, can be taken again. */
  async #forget(id: string): Promise<void> {
    try {
      await this.#options.policy.forget(id);
    } catch (error) {
      if (!(error instanceof PolicyError)) throw error;
      this.#options.log.error("the policy keeps a container that is gone", { container: id, error: error.message });
    }
  }

  /** GetDiagnosticData (section 1.3). */
  async diagnosticData(logType: string, id: string): Promise<string> {
    if (logType !== "termination_log") {
      throw invalidArgument(debugQuote(`unsupported diagnostic log_type: ${logType}`));
    }
    const record = this.#known.get(id);
    if (record === undefined) throw internalError(`Invalid container id: ${id}`);
    const path = terminationLogPath(record.annotations, record.mounts);
    return readTerminationLog(this.#options.syscalls, path);
  }

  async #create(request: grpc.CreateContainerRequest, oci: grpc.Spec, signal: AbortSignal): Promise<Record> {
    const { containers, sandbox, storages, syscalls, unsealing, log, tracer } = this.#options;
    const id = request.container_id;
    const bundle = bundlePath(id);
    const annotations = oci.Annotations;
    const context = { containerId: id, annotations, signal, log };
    const mountPoints = await storages.addAll(request.storages, context);
    try {
      signal.throwIfAborted();
      const isPod = isSandbox(annotations) ?? false;
      const pulled = request.storages.some(({ driver }) => driver === "image_guest_pull");
      if (!pulled) {
        await makeBundle(bundle);
        await mountRoot(syscalls, oci.Root?.Path ?? "", `${bundle}/rootfs`);
      }
      const process = isPod && pulled ? pauseProcessTree(await readPauseProcess(), oci.Process) : oci.Process;
      const env = await unsealEnvironment(process?.Env ?? [], unsealing, signal);
      const folder = `${bundle}/secrets`;
      const mounts = await unsealMounts(oci.Mounts, { syscalls, unsealing, folder, signal });
      await using pinned = await pinBindSources(syscalls, mounts, `${bundle}/mounts`);
      const spec = {
        ...oci,
        Process: process === null ? null : { ...process, Env: env },
        Mounts: [...pinned.mounts],
        Root: { Path: `${bundle}/rootfs`, Readonly: oci.Root?.Readonly ?? false },
      };
      const namespaces = this.#namespaces(request.sandbox_pidns);
      const container = await tracer.span("runtime", id, () =>
        containers.create({ id, spec, bundleDir: bundle, namespaces, sandbox: isPod, signal }),
      );
      if (sandbox.pidNamespace === undefined) sandbox.keepPidNamespace(id, container.init.pid);
      return { storages: mountPoints, annotations, mounts: oci.Mounts };
    } catch (error) {
      await this.#release(id, mountPoints);
      throw error;
    }
  }

  /** The sandbox's ipc and uts; its pid namespace, which is the first container's, when the request asks for it. */
  #namespaces(sharedPid: boolean): JoinedNamespaces {
    const { containers, sandbox } = this.#options;
    const { ipc, uts } = sandbox.namespaces ?? {};
    if (!sharedPid || sandbox.pidNamespace === undefined) return { ipc, uts };
    // A namespace whose first process has ended takes no new one.
    const owner = containers.get(sandbox.pidNamespace.owner);
    if (owner === undefined || owner.init.status !== undefined) {
      throw internalError("ENOENT: No such file or directory", new Error("the shared pid namespace has ended"));
    }
    return { ipc, uts, pid: sandbox.pidNamespace.path };
  }

  async #release(id: string, mountPoints: readonly string[], { served = false } = {}): Promise<void> {
    await this.#options.storages.releaseAll(mountPoints, { served });
    this.#leftovers.add(id);
    await this.#sweep(id);
  }

  /** Removes the folders that are left of `own` and of ids that nobody uses. */
  async #sweep(own: string): Promise<void> {
    const { syscalls, log } = this.#options;
    for (const id of this.#leftovers) {
      if (id !== own && this.#known.has(id)) continue;
      try {
        await removeBundle(syscalls, bundlePath(id));
        this.#leftovers.delete(id);
      } catch (error) {
        log.error("the container's folder was not removed", { container: id, error: describeError(error) });
      }
    }
  }
}
