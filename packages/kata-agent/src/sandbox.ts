import { closeSync, openSync } from "node:fs";
import { access, mkdir, writeFile } from "node:fs/promises";
import { dirname } from "node:path";

import { hasCode, MountFlag, OpenFlag, SafeRoot, type Syscalls, Unmount, unmountTree } from "@nacre/kata-sys-util";
import type { grpc } from "@nacre/protocols";

import { internalError } from "./error.ts";
import type { Logger } from "./log.ts";
import { KATA_ROOT, SANDBOX_NAMESPACES, SANDBOX_RESOLV_CONF } from "./paths.ts";
import { pinNamespaces, type SandboxNamespaces, unpinNamespaces } from "./sandbox-namespaces.ts";
import type { StorageRegistry } from "./storage/registry.ts";

/** The guest's resolver configuration, covered by the pod's. */
const RESOLV_CONF = "/etc/resolv.conf";

/** Most lines and bytes of `dns` that are taken; a resolver reads three servers and one search line. */
export const MAX_DNS_LINES = 64;
export const MAX_DNS_LINE_LENGTH = 1024;

export interface SandboxOptions {
  readonly syscalls: Syscalls;
  readonly storages: StorageRegistry;
  readonly log: Logger;
  /** Whether any container exists: the sandbox's folders must not be wiped below it. */
  readonly hasContainers: () => boolean;
}

/** A pid namespace that later containers may join. */
export interface SharedPidNamespace extends Disposable {
  /** The container whose first process is the namespace's; without it nothing can join. */
  readonly owner: string;
  /** A path that stays valid while the namespace is held. */
  readonly path: string;
}

/** The pod: one for each guest, made by CreateSandbox and ended by DestroySandbox (section 1.3). */
export class Sandbox {
  readonly #options: SandboxOptions;
  #state: "absent" | "making" | "there" | "gone" = "absent";
  #namespaces: SandboxNamespaces | undefined;
  #destroying: Promise<void> | undefined;
  #resolvConfMounted = false;
  #pidNamespace: SharedPidNamespace | undefined;

  constructor(options: SandboxOptions) {
    this.#options = options;
  }

  /** Whether a container may be made: not while the sandbox's folders come or go below it. */
  get settled(): boolean {
    return this.#state === "absent" || this.#state === "there";
  }

  /** The namespaces that containers join; undefined before CreateSandbox. */
  get namespaces(): SandboxNamespaces | undefined {
    return this.#namespaces;
  }

  /** The first container's pid namespace, for containers that are to share it; undefined before the first. */
  get pidNamespace(): SharedPidNamespace | undefined {
    return this.#pidNamespace;
  }

  /** Takes the first container's pid namespace over; held by descriptor, because a pid can come to mean another. */
  keepPidNamespace(owner: string, pid: number): void {
    let fd: number;
    try {
      fd = openSync(`/proc/${pid}/ns/pid`, OpenFlag.RDONLY | OpenFlag.CLOEXEC);
    } catch (error) {
      // The process has ended already, and its namespace with it.
      if (hasCode(error, "ENOENT")) return;
      throw error;
    }
    this.#pidNamespace = { owner, path: `/proc/${process.pid}/fd/${fd}`, [Symbol.dispose]: () => closeSync(fd) };
  }

  /**
   * Wipes what a former sandbox left, makes namespaces, storages and resolv.conf. Throws INTERNAL when there is a
   * sandbox already; upstream cannot be asked again after a failure either, here a failure leaves nothing and a retry
   * works (a deviation, golden-findings 4).
   */
  async create(request: grpc.CreateSandboxRequest, signal: AbortSignal): Promise<void> {
    if (this.#state !== "absent") {
      throw internalError("setup persistent IPC namespace", new Error("the sandbox was created before"));
    }
    const dns = checkDns(request.dns);
    checkKernelModules(request.kernel_modules);
    if (this.#options.hasContainers()) throw internalError("the sandbox comes before its containers");
    this.#state = "making";
    try {
      await this.#wipe();
      this.#namespaces = await pinNamespaces(this.#options.syscalls, SANDBOX_NAMESPACES, request.hostname);
      await this.#options.storages.addAll(request.storages, {
        containerId: undefined,
        annotations: {},
        signal,
        log: this.#options.log,
      });
      await this.#writeResolvConf(dns);
      signal.throwIfAborted();
      this.#state = "there";
    } catch (error) {
      await this.#undo();
      this.#state = "absent";
      throw error;
    }
  }

  /** Takes everything away that `create` made. The containers must be gone. Callers that come together share the work. */
  async destroy(): Promise<void> {
    this.#state = "gone";
    this.#destroying ??= this.#undo().finally(() => {
      this.#destroying = undefined;
    });
    await this.#destroying;
  }

  async #undo(): Promise<void> {
    const { syscalls, storages } = this.#options;
    if (this.#resolvConfMounted) {
      await syscalls.umount2(RESOLV_CONF, Unmount.DETACH);
      this.#resolvConfMounted = false;
    }
    this.#pidNamespace?.[Symbol.dispose]();
    this.#pidNamespace = undefined;
    await storages.clear();
    await unpinNamespaces(syscalls, SANDBOX_NAMESPACES);
    this.#namespaces = undefined;
    await this.#wipe();
  }

  /** Unmounts first: removing must never reach through a mount into what it shows. */
  async #wipe(): Promise<void> {
    await mkdir(KATA_ROOT, { recursive: true, mode: 0o755 });
    using root = SafeRoot.open(KATA_ROOT, { sys: this.#options.syscalls });
    for (const name of root.readdir("")) {
      await unmountTree(this.#options.syscalls, `${KATA_ROOT}/${name.toString()}`);
      await root.removeTree(name);
    }
  }

  async #writeResolvConf(dns: readonly string[]): Promise<void> {
    if (dns.length === 0) return;
    await mkdir(dirname(SANDBOX_RESOLV_CONF), { recursive: true, mode: 0o755 });
    await writeFile(SANDBOX_RESOLV_CONF, dns.join("\n"), { mode: 0o644 });
    try {
      await access(RESOLV_CONF);
    } catch {
      // An image without the file has no resolver to configure; upstream passes over it, too.
      return;
    }
    await this.#options.syscalls.mount(SANDBOX_RESOLV_CONF, RESOLV_CONF, null, MountFlag.BIND);
    this.#resolvConfMounted = true;
  }
}

function checkDns(lines: readonly string[]): readonly string[] {
  if (lines.length > MAX_DNS_LINES) throw internalError(`dns: expected at most ${MAX_DNS_LINES} lines`);
  for (const line of lines) {
    if (line.length > MAX_DNS_LINE_LENGTH) throw internalError(`dns: a line is longer than ${MAX_DNS_LINE_LENGTH}`);
    if (/[\0\n]/.test(line)) throw internalError("dns: a line holds a line break or a zero byte");
  }
  return lines;
}

function checkKernelModules(modules: readonly grpc.KernelModule[]): void {
  for (const { name } of modules) {
    if (name === "") throw internalError("Kernel module name is empty");
    throw internalError(`kernel module ${name}: this guest loads no modules for the host`);
  }
}
