import { existsSync, statfsSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join, resolve } from "node:path";

import { Code } from "@nacre/protocols";
import { RpcError } from "@nacre/ttrpc";

import { describeError, NacreError } from "../error.ts";
import { removeGuest } from "../guest/cleanup.ts";
import { guestFrom } from "../guest/guest.ts";
import { AGENT_PORT, guestLayout, newGuestId, portSocket } from "../guest/layout.ts";
import type { StartGuestOptions } from "../guest/options.ts";
import { startGuest } from "../guest/start.ts";
import { type GuestKind, isTended, readState } from "../guest/state.ts";
import type { GuestMachine, RunningGuest } from "./guest-machine.ts";
import type { VmRecord } from "./vm-record.ts";
import type { VmSpec } from "./vm-spec.ts";

/** The kinds of guests, as the annotation machine_type names them. */
const KINDS: readonly GuestKind[] = ["simulated", "qemu"];
/** What a folder has that a virtual machine boots from; any other is a root directory for namespaces. */
const IMAGE_FILE = "image.json";
/** What namespaces are kept in: NSFS_MAGIC of the kernel's linux/magic.h. */
const NSFS_MAGIC = 0x6e73_6673;

/** What a guest is made of, by the name that the annotation image gives. */
export interface NamedImage {
  readonly kind: GuestKind;
  readonly folder: string;
}

/** How a server starts its guests. */
export interface LocalMachineOptions {
  readonly stateRoot: string;
  /** For requests that name neither machine type nor image. */
  readonly kind: GuestKind;
  readonly images: ReadonlyMap<string, NamedImage>;
  /** What every guest has. */
  readonly guest: Pick<
    StartGuestOptions,
    "policy" | "registries" | "extraRoots" | "hubConfig" | "kernelParameters" | "startTimeoutMs"
  >;
  /** What every virtual machine has. */
  readonly qemu?: Pick<StartGuestOptions, "flavour" | "accelerator" | "bridge">;
  /** For requests that name none. Absent: the kind's own default. */
  readonly memoryBytes?: number;
  readonly cpus?: number;
  /** The smallest guest, for requests that name less. */
  readonly minMemoryBytes: number;
}

/** Tells what lies in a folder. Throws NacreError `input` where there is none. */
export function namedImage(folder: string): NamedImage {
  const path = resolve(folder);
  if (!existsSync(path)) throw new NacreError("input", `image: expected a folder ${path}`);
  return { kind: existsSync(join(path, IMAGE_FILE)) ? "qemu" : "simulated", folder: path };
}

/** Starts guests on this machine: in namespaces (SIMULATED-GUEST.md) or virtual machines (QEMU-GUEST.md). */
export class LocalMachine implements GuestMachine {
  readonly #options: LocalMachineOptions;

  constructor(options: LocalMachineOptions) {
    this.#options = options;
  }

  check(spec: VmSpec): void {
    const image = this.#image(spec);
    const kind = KINDS.find((known) => known === spec.machineType);
    if (kind === undefined && spec.machineType !== "") throw unknown("machine_type", spec.machineType, KINDS);
    if (kind !== undefined && image !== undefined && image.kind !== kind) {
      throw invalid(
        `image: expected one for a ${kind} guest, got ${JSON.stringify(spec.image)} for a ${image.kind} one`,
      );
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
    return startGuest({ ...this.guestOptions(spec), id: guest, signal });
  }

  /** What a request comes to. */
  guestOptions(spec: VmSpec): StartGuestOptions {
    const { stateRoot, kind: defaultKind, guest, qemu, minMemoryBytes } = this.#options;
    const image = this.#image(spec);
    const kind = image?.kind ?? KINDS.find((known) => known === spec.machineType) ?? defaultKind;
    const asked = spec.memoryBytes ?? this.#options.memoryBytes;
    const cpus = spec.vcpus ?? this.#options.cpus;
    // A virtual machine gets everything by initdata; a document that is the pod's is not to be added to.
    const { kernelParameters = [], startTimeoutMs } = guest;
    const own = startTimeoutMs === undefined ? { kernelParameters } : { kernelParameters, startTimeoutMs };
    const { initdata } = spec;
    return {
      ...(kind === "qemu" && initdata !== undefined ? own : guest),
      ...(initdata === undefined ? {} : { initdata }),
      stateRoot,
      kind,
      ...(asked === undefined ? {} : { memoryBytes: Math.max(asked, minMemoryBytes) }),
      // A machine with more processors than there are is slower, not faster; Kata's own handlers have the same bound.
      ...(cpus === undefined ? {} : { cpus: kind === "qemu" ? Math.min(cpus, availableParallelism()) : cpus }),
      ...(kind === "qemu" ? qemu : {}),
      ...(image === undefined ? {} : kind === "qemu" ? { image: image.folder } : { tree: image.folder }),
    };
  }

  async find(guest: string): Promise<RunningGuest | undefined> {
    const layout = guestLayout(this.#options.stateRoot, guest);
    const state = readState(layout);
    if (state !== undefined && isTended(state)) return guestFrom(layout, state);
    await removeGuest(layout);
    return undefined;
  }

  #image({ image }: VmSpec): NamedImage | undefined {
    const { images } = this.#options;
    const found = images.get(image);
    if (image !== "" && found === undefined) throw unknown("image", image, [...images.keys()]);
    return found;
  }
}

/** The pod's own network is not ours to use, but a path that is none shows a caller that means something else. */
function checkNamespace(path: string): void {
  let type: number;
  try {
    ({ type } = statfsSync(path));
  } catch (error) {
    throw invalid(`networkNamespacePath: ${describeError(error)}`);
  }
  if (type !== NSFS_MAGIC) throw invalid(`networkNamespacePath: expected a namespace at ${path}`);
}

function unknown(what: string, got: string, known: readonly string[]): RpcError {
  const expected = known.length === 0 ? "none, as this server has only its default" : known.join(", ");
  return invalid(`${what}: expected ${expected}, got ${JSON.stringify(got)}`);
}

function invalid(message: string): RpcError {
  return new RpcError(Code.INVALID_ARGUMENT, `CreateVM: ${message}`);
}
