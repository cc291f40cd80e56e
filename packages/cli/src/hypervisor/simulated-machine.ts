import { statfsSync } from "node:fs";

import { Code } from "@nacre/protocols";
import { RpcError } from "@nacre/ttrpc";

import { describeError } from "../error.ts";
import { removeGuest } from "../guest/cleanup.ts";
import { guestFrom } from "../guest/guest.ts";
import { AGENT_PORT, guestLayout, newGuestId, portSocket } from "../guest/layout.ts";
import type { StartGuestOptions } from "../guest/options.ts";
import { startGuest } from "../guest/start.ts";
import { isTended, readState } from "../guest/state.ts";
import type { GuestMachine, RunningGuest } from "./guest-machine.ts";
import type { VmRecord } from "./vm-record.ts";
import type { VmSpec } from "./vm-spec.ts";

/** The kind of guest, as the annotation machine_type names it. */
export const SIMULATED = "simulated";
/** What namespaces are kept in: NSFS_MAGIC of the kernel's linux/magic.h. */
const NSFS_MAGIC = 0x6e73_6673;

/** How a server starts its guests. */
export interface SimulatedMachineOptions {
  readonly stateRoot: string;
  /** Root directories by the name that the annotation image gives. */
  readonly images: ReadonlyMap<string, string>;
  /** What every guest has. */
  readonly guest: Omit<StartGuestOptions, "id" | "memoryBytes" | "cpus" | "tree" | "stateRoot" | "signal">;
  /** For requests that name none. Absent: no limit. */
  readonly memoryBytes?: number;
  readonly cpus?: number;
  /** The smallest guest, for requests that name less. */
  readonly minMemoryBytes: number;
}

/** Starts simulated guests (SIMULATED-GUEST.md). */
export class SimulatedMachine implements GuestMachine {
  readonly #options: SimulatedMachineOptions;

  constructor(options: SimulatedMachineOptions) {
    this.#options = options;
  }

  check(spec: VmSpec): void {
    const { images } = this.#options;
    if (spec.machineType !== "" && spec.machineType !== SIMULATED)
      throw unknown("machine_type", spec.machineType, [SIMULATED]);
    if (spec.image !== "" && !images.has(spec.image)) throw unknown("image", spec.image, [...images.keys()]);
    if (spec.initdata !== undefined) {
      throw new RpcError(Code.UNIMPLEMENTED, "CreateVM: cc_init_data: simulated guests take no initdata yet");
    }
    if (spec.networkNamespace !== "") checkNamespace(spec.networkNamespace);
  }

  newGuestId(): string {
    return newGuestId();
  }

  agentSocket(guest: string): string {
    return portSocket(guestLayout(this.#options.stateRoot, guest), AGENT_PORT);
  }

  start({ spec, guest }: VmRecord, signal: AbortSignal): Promise<RunningGuest> {
    const { stateRoot, images, guest: common, minMemoryBytes } = this.#options;
    const asked = spec.memoryBytes ?? this.#options.memoryBytes;
    const memoryBytes = asked === undefined ? undefined : Math.max(asked, minMemoryBytes);
    const cpus = spec.vcpus ?? this.#options.cpus;
    const tree = images.get(spec.image);
    return startGuest({
      ...common,
      stateRoot,
      id: guest,
      signal,
      ...(memoryBytes === undefined ? {} : { memoryBytes }),
      ...(cpus === undefined ? {} : { cpus }),
      ...(tree === undefined ? {} : { tree }),
    });
  }

  async find(guest: string): Promise<RunningGuest | undefined> {
    const layout = guestLayout(this.#options.stateRoot, guest);
    const state = readState(layout);
    if (state !== undefined && isTended(state)) return guestFrom(layout, state);
    await removeGuest(layout);
    return undefined;
  }
}

/** The pod's own network is not ours to use, but a path that is none shows a caller that means something else. */
function checkNamespace(path: string): void {
  let type: number;
  try {
    ({ type } = statfsSync(path));
  } catch (error) {
    throw new RpcError(Code.INVALID_ARGUMENT, `CreateVM: networkNamespacePath: ${describeError(error)}`);
  }
  if (type !== NSFS_MAGIC) {
    throw new RpcError(Code.INVALID_ARGUMENT, `CreateVM: networkNamespacePath: expected a namespace at ${path}`);
  }
}

function unknown(what: string, got: string, known: readonly string[]): RpcError {
  const expected = known.length === 0 ? "none, as this server has only its default" : known.join(", ");
  return new RpcError(Code.INVALID_ARGUMENT, `CreateVM: ${what}: expected ${expected}, got ${JSON.stringify(got)}`);
}
