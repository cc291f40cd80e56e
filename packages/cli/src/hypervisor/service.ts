import { Code, type hypervisor, type Hypervisor } from "@nacre/protocols";
import { type CallContext, type Handlers, RpcError } from "@nacre/ttrpc";

import { describeError } from "../error.ts";
import type { ProcessIdentity } from "../guest/identity.ts";
import { processEnd } from "../guest/process-end.ts";
import type { GuestMachine, RunningGuest } from "./guest-machine.ts";
import type { VmRecord, VmRecords } from "./vm-record.ts";
import { parseVmId, parseVmSpec } from "./vm-spec.ts";

/** Something that whoever runs the server may want to know. */
export interface HypervisorEvent {
  readonly event: "created" | "starting" | "started" | "stopped" | "ended" | "failed" | "found" | "dropped";
  /** The sandbox's id. */
  readonly sandbox: string;
  readonly pod: string;
  readonly namespace: string;
  readonly guest: string;
  /** Why, of what failed or was dropped. */
  readonly reason?: string;
  /** From request to agent, in milliseconds. */
  readonly ms?: number;
}

/** What a {@link HypervisorService} is made of. */
export interface HypervisorOptions {
  readonly machine: GuestMachine;
  readonly records: VmRecords;
  /** Told to callers of Version. */
  readonly version: string;
  /** Machines at one time, those included that were asked for and not started yet. */
  readonly maxGuests: number;
  /**
   * How long a machine may wait for its start, in milliseconds. A runtime starts it at once or, where something of its
   * own fails in between, never says a word again; its place is then free for others.
   */
  readonly startWithinMs?: number;
  /** Resolves when that shim has ended; default: by its pidfd. */
  readonly runtimeEnd?: (runtime: ProcessIdentity, signal: AbortSignal) => Promise<void>;
  readonly onEvent?: (event: HypervisorEvent) => void;
}

/** The runtime's own patience with one of these calls (remote_hypervisor_timeout). */
const DEFAULT_START_WITHIN_MS = 600_000;

/** One virtual machine. Records say the same on disk. */
interface Vm {
  record: VmRecord;
  /** While it starts: ends the attempt. */
  start?: { readonly abort: AbortController; readonly over: Promise<unknown> };
  /** Once it runs. */
  guest?: RunningGuest;
  /** Once it is to end; resolves when nothing of it is left. */
  end?: Promise<void> | undefined;
  /** Until it is started. */
  late?: NodeJS.Timeout;
  /** Once it runs: ends the watch over its shim. */
  untie?: AbortController;
}

/**
 * Kata's remote hypervisor: each call of a runtime becomes a guest of this machine. The runtime dials the agent's own
 * socket, so that a pod depends on this service only while it comes and goes.
 */
export class HypervisorService {
  readonly #options: HypervisorOptions;
  readonly #vms = new Map<string, Vm>();

  constructor(options: HypervisorOptions) {
    this.#options = options;
  }

  /** The methods, for a ttRPC server; `runtime` is the shim that calls, where it is one. */
  handlers(runtime?: ProcessIdentity): Handlers<typeof Hypervisor> {
    return {
      CreateVM: (request) => this.create(request),
      StartVM: (request, context) => this.start(request, context, runtime),
      StopVM: (request) => this.stop(request),
      Version: () => ({ version: this.#options.version }),
    };
  }

  /** Machines that are known now. */
  get size(): number {
    return this.#vms.size;
  }

  /** Takes over what an earlier server left: machines that run go on, half-started ones end. */
  async recover(): Promise<void> {
    await Promise.all(
      this.#options.records.read().map(async (record) => {
        if (record.stage === "created") {
          this.#await(this.#add(record));
          this.#tell(record, "found");
          return;
        }
        const guest = await this.#options.machine.find(record.guest);
        // Nobody was told of a machine that was still starting, so nobody will ask for its end.
        if (record.stage === "starting") await guest?.stop();
        if (guest === undefined || record.stage === "starting") {
          this.#options.records.remove(record.spec.id);
          const reason = guest === undefined ? "it ended while no server ran" : "its start was cut off";
          this.#tell(record, "dropped", { reason });
          return;
        }
        this.#watch(this.#add(record), guest);
        this.#tell(record, "found");
      }),
    );
  }

  /** CreateVM: keeps what is asked for and tells the socket; makes no guest yet. */
  create(request: hypervisor.CreateVMRequest): { agentSocketPath: string } {
    const { machine, maxGuests, records } = this.#options;
    const spec = parseVmSpec(request);
    machine.check(spec);
    if (this.#vms.has(spec.id)) {
      throw new RpcError(Code.ALREADY_EXISTS, `CreateVM: sandbox ${spec.id} has a virtual machine`);
    }
    if (this.#vms.size >= maxGuests) {
      throw new RpcError(Code.RESOURCE_EXHAUSTED, `CreateVM: expected at most ${maxGuests} guests at one time`);
    }
    const guest = machine.newGuestId();
    const record: VmRecord = { spec, guest, created: new Date().toISOString(), stage: "created" };
    records.write(record);
    this.#await(this.#add(record));
    this.#tell(record, "created");
    return { agentSocketPath: machine.agentSocket(guest) };
  }

  /** StartVM: resolves when the agent takes connections. A start that fails leaves nothing, not even the request. */
  async start(
    request: hypervisor.StartVMRequest,
    context: Pick<CallContext, "signal">,
    runtime?: ProcessIdentity,
  ): Promise<object> {
    const id = parseVmId(request.id);
    const vm = this.#vms.get(id);
    if (vm === undefined) {
      throw new RpcError(Code.NOT_FOUND, `StartVM: no virtual machine was created for sandbox ${id}, or it has ended`);
    }
    if (vm.record.stage !== "created" || vm.end !== undefined) {
      throw new RpcError(Code.FAILED_PRECONDITION, `StartVM: the virtual machine of sandbox ${id} was started before`);
    }
    if (runtime !== undefined) vm.record = { ...vm.record, runtime };
    const abort = new AbortController();
    const over = this.#start(vm, AbortSignal.any([context.signal, abort.signal]));
    vm.start = { abort, over: over.catch(() => {}) };
    await over;
    return {};
  }

  /** StopVM: resolves when nothing of the guest is left. A sandbox that has none is what the runtime wants. */
  async stop(request: hypervisor.StopVMRequest): Promise<object> {
    const id = parseVmId(request.id);
    const vm = this.#vms.get(id);
    if (vm !== undefined) await this.#end(vm, "stopped");
    return {};
  }

  /** Ends what is being started, for a server that ends; machines that run stay. */
  async close(): Promise<void> {
    await Promise.all(
      [...this.#vms.values()].map(async (vm) => {
        clearTimeout(vm.late);
        vm.untie?.abort();
        vm.start?.abort.abort(new RpcError(Code.UNAVAILABLE, "StartVM: the server ends"));
        await vm.start?.over;
        await vm.end;
      }),
    );
  }

  async #start(vm: Vm, signal: AbortSignal): Promise<void> {
    const began = performance.now();
    const { machine, records } = this.#options;
    clearTimeout(vm.late);
    vm.record = { ...vm.record, stage: "starting" };
    let guest: RunningGuest | undefined;
    try {
      records.write(vm.record);
      this.#tell(vm.record, "starting");
      guest = await machine.start(vm.record, signal);
      signal.throwIfAborted();
      // The document is on the guest's device by now.
      vm.record = { ...vm.record, stage: "running", spec: { ...vm.record.spec, initdata: undefined } };
      records.write(vm.record);
    } catch (error) {
      // Whoever asked for the end waits for this, and its reason is the one to tell.
      const reason: unknown = signal.aborted ? signal.reason : error;
      this.#tell(vm.record, "failed", { reason: describeError(reason) });
      await guest?.stop();
      this.#forget(vm);
      throw reason instanceof RpcError
        ? reason
        : new RpcError(Code.INTERNAL, `StartVM: sandbox ${vm.record.spec.id}: ${describeError(reason)}`, {
            cause: reason,
          });
    }
    this.#watch(vm, guest);
    this.#tell(vm.record, "started", { ms: Math.round(performance.now() - began) });
  }

  #end(vm: Vm, event: "stopped" | "dropped", reason?: string): Promise<void> {
    vm.end ??= (async () => {
      clearTimeout(vm.late);
      vm.start?.abort.abort(new RpcError(Code.ABORTED, "StartVM: the virtual machine was stopped while it started"));
      await vm.start?.over;
      try {
        await vm.guest?.stop();
      } catch (error) {
        // The next StopVM tries again; until then the machine keeps its place.
        vm.end = undefined;
        throw error;
      }
      this.#forget(vm);
      this.#tell(vm.record, event, reason === undefined ? {} : { reason });
    })();
    return vm.end;
  }

  #add(record: VmRecord): Vm {
    const vm: Vm = { record };
    this.#vms.set(record.spec.id, vm);
    return vm;
  }

  #forget(vm: Vm): void {
    const { id } = vm.record.spec;
    vm.untie?.abort();
    if (this.#vms.get(id) !== vm) return;
    this.#vms.delete(id);
    this.#options.records.remove(id);
  }

  /** Gives a machine's place to others when its start does not come. */
  #await(vm: Vm): void {
    const limit = this.#options.startWithinMs ?? DEFAULT_START_WITHIN_MS;
    const left = limit - (Date.now() - Date.parse(vm.record.created));
    vm.late = setTimeout(
      () =>
        void this.#end(vm, "dropped", `no StartVM came within ${limit / 1000} s`).catch((error: unknown) =>
          this.#clearUpFailed(vm, error),
        ),
      Math.min(limit, Math.max(0, left)),
    );
    vm.late.unref();
  }

  /** A guest that ends by itself, as its agent does after DestroySandbox, is gone before StopVM comes. */
  #watch(vm: Vm, guest: RunningGuest): void {
    vm.guest = guest;
    this.#tie(vm);
    void guest.ended.then(
      () => {
        if (vm.end !== undefined) return;
        this.#forget(vm);
        this.#tell(vm.record, "ended");
      },
      (error: unknown) => this.#clearUpFailed(vm, error),
    );
  }

  /** A shim that was killed calls no StopVM, and no other process of Kata does. */
  #tie(vm: Vm): void {
    const { runtime } = vm.record;
    if (runtime === undefined) return;
    const untie = new AbortController();
    vm.untie = untie;
    const { runtimeEnd = processEnd } = this.#options;
    runtimeEnd(runtime, untie.signal).then(
      () => {
        if (!untie.signal.aborted && vm.end === undefined) {
          this.#end(vm, "dropped", "its runtime has ended").catch((error: unknown) => this.#clearUpFailed(vm, error));
        }
      },
      (error: unknown) => {
        if (!untie.signal.aborted) this.#clearUpFailed(vm, error);
      },
    );
  }

  #clearUpFailed(vm: Vm, error: unknown): void {
    this.#tell(vm.record, "failed", { reason: `clear up: ${describeError(error)}` });
  }

  #tell(record: VmRecord, event: HypervisorEvent["event"], more: { reason?: string; ms?: number } = {}): void {
    const { id, pod, namespace } = record.spec;
    this.#options.onEvent?.({ event, sandbox: id, pod, namespace, guest: record.guest, ...more });
  }
}
