import { Code } from "@nacre/protocols";
import { RpcError } from "@nacre/ttrpc";

import type { GuestMachine, RunningGuest } from "../../src/hypervisor/guest-machine.ts";
import type { VmRecord } from "../../src/hypervisor/vm-record.ts";
import type { VmSpec } from "../../src/hypervisor/vm-spec.ts";

/** A guest of a {@link FakeMachine}; the test ends it, or the service stops it. */
export class FakeGuest implements RunningGuest {
  readonly ended: Promise<void>;
  end: () => void = () => {};
  stops = 0;
  /** Makes stopping fail as often. */
  refusals = 0;

  constructor() {
    this.ended = new Promise((resolve) => (this.end = resolve));
  }

  stop(): Promise<void> {
    this.stops += 1;
    if (this.stops <= this.refusals) return Promise.reject(new Error("the cgroup is busy"));
    this.end();
    return this.ended;
  }
}

/** Starts guests when the test says so; stands for namespaces and virtual machines. */
export class FakeMachine implements GuestMachine {
  readonly guests = new Map<string, FakeGuest>();
  readonly started: VmRecord[] = [];
  /** Resolves a start that waits, by guest id. */
  readonly go = new Map<string, (failure?: Error) => void>();
  /** Whether starts wait for {@link go}. */
  held = false;
  #count = 0;

  check(spec: VmSpec): void {
    if (spec.image !== "") throw new RpcError(Code.INVALID_ARGUMENT, "CreateVM: image: expected none");
  }

  newGuestId(): string {
    this.#count += 1;
    return this.#count.toString(16).padStart(8, "0");
  }

  agentSocket(guest: string): string {
    return `/run/nacre/guests/${guest}/vsock/1024.sock`;
  }

  async start(record: VmRecord, signal: AbortSignal): Promise<RunningGuest> {
    this.started.push(record);
    signal.throwIfAborted();
    if (this.held) {
      await new Promise<void>((resolve, reject) => {
        this.go.set(record.guest, (failure) => (failure === undefined ? resolve() : reject(failure)));
        signal.addEventListener("abort", () => reject(signal.reason as Error), { once: true });
      });
    }
    const guest = new FakeGuest();
    this.guests.set(record.guest, guest);
    return guest;
  }

  find(guest: string): Promise<RunningGuest | undefined> {
    return Promise.resolve(this.guests.get(guest));
  }
}
