import { posix } from "node:path";

import { NacreError } from "../error.ts";
import type { RegistryRule } from "./hub-config.ts";
import { isGuestId } from "./layout.ts";
import type { Accelerator, Bridge } from "./plan.ts";
import type { GuestKind, GuestNetwork } from "./state.ts";

/** A file that this guest has beyond the tree, or instead of the tree's. */
export interface ExtraFile {
  /** Absolute path in the guest. */
  readonly path: string;
  /** A file of this machine; or `content`. */
  readonly source?: string;
  readonly content?: string | Uint8Array;
  /** Default 0644. */
  readonly mode?: number;
}

/** How a guest is started; everything may be left out. */
export interface StartGuestOptions {
  /** Default: simulated. */
  readonly kind?: GuestKind;
  /** Simulated guests only: a measured image has no room for more. */
  readonly files?: readonly ExtraFile[];
  /** `key` or `key=value`, appended to the kernel command line that the guest sees. */
  readonly kernelParameters?: readonly string[];
  /** The policy in force until SetPolicy, as Rego text. Default: the tree's, which allows everything. */
  readonly policy?: string;
  /** Further rules of the guest's registries; plain HTTP to the gateway is allowed in any case. */
  readonly registries?: readonly RegistryRule[] | ((network: GuestNetwork) => readonly RegistryRule[]);
  /** PEM certificates that the guest trusts for registries beside the public ones. */
  readonly extraRoots?: readonly string[];
  /** The whole configuration of the Confidential Data Hub, in place of one made from `registries` and `extraRoots`. */
  readonly hubConfig?: string | ((network: GuestNetwork) => string);
  /**
   * The whole initdata document (TOML). A virtual machine's takes the place of one made from the policy and the hub's
   * configuration, so that none of those may be given with it. A simulated guest has them as files of its own, in force
   * where the document says nothing.
   */
  readonly initdata?: string | Uint8Array;
  /** Memory of the guest with its containers, in bytes. Default: no limit; of a virtual machine: 2 GiB. */
  readonly memoryBytes?: number;
  /**
   * Processor time of the guest with its containers, in processors. Default: no limit; of a virtual machine: 2, and parts
   * of one count as one.
   */
  readonly cpus?: number;
  /** The guest's id, eight hexadecimal digits, where its socket must be known before it starts. Default: random. */
  readonly id?: string;
  /** The guest's network, of a guest before it. Default: one that is free. */
  readonly network?: GuestNetwork;
  /** The debugger's address, of a guest before it. Default: a free port. */
  readonly debugUrl?: string;
  /** Where the log is appended to. Default: a file that goes with the guest. */
  readonly logFile?: string;
  /**
   * Time for the agent to listen, in milliseconds. Default 60,000: the first start on a busy machine reads 200 MB; of a
   * virtual machine 180,000, of one whose boot is measured 360,000.
   */
  readonly startTimeoutMs?: number;
  /** Simulated guests only: the root directory. Default: the one that `make tree` builds. */
  readonly tree?: string;
  /** Simulated guests only: a folder that is seen as /usr/lib/nacre, with what changes there while the guest runs. */
  readonly daemons?: string;
  /** QEMU guests only: the folder of the image. Default: what `make rootfs` builds of {@link flavour}. */
  readonly image?: string;
  /** QEMU guests only. Default: devkit. */
  readonly flavour?: string;
  /** QEMU guests only: extensions of the image that the guest has. Default: none. */
  readonly extensions?: readonly string[];
  /**
   * QEMU guests only: OVMF boots the unified kernel image and measures it into a TPM of the guest's own. Kernel parameters
   * and extensions are then measured, too. Default: QEMU boots the kernel, and nothing is measured.
   */
  readonly ovmf?: boolean;
  /**
   * QEMU guests only: a TPM of the guest's own, in software, into which initdata is bound. Default: yes. Without one nothing
   * binds initdata, and a guest that was given some ends.
   */
  readonly tpm?: boolean;
  /**
   * QEMU guests only: size of an empty disk with the serial number `scratch`, in bytes, which is gone with the guest.
   * Default: none.
   */
  readonly scratchBytes?: number;
  /** QEMU guests only. Default: KVM where it works, else emulation. */
  readonly accelerator?: Accelerator;
  /** QEMU guests only: how this machine reaches the guest. Default: what the machine has. */
  readonly bridge?: Bridge;
  /** Default: `$NACRE_STATE_DIR`, else /run/nacre. */
  readonly stateRoot?: string;
  /** Told where the debugger is, as soon as it is there: a daemon may wait for it. */
  readonly onDebugUrl?: (url: string) => void;
  /** Told what is odd about a start that goes on all the same, a line each. */
  readonly onNote?: (note: string) => void;
  /** Gives up the start. */
  readonly signal?: AbortSignal;
}

/** A guest with fewer bytes does not get its daemons up. */
export const MIN_MEMORY_BYTES: number = 128 * 1024 * 1024;
/** More than any machine has; the kernel counts the time in a number of limited size. */
export const MAX_CPUS = 1024;

/** No driver of disks takes a part of a sector, and none of ours is so small. */
const SCRATCH_UNIT_BYTES: number = 1024 * 1024;

/** Longest command line that x86 kernels take, in bytes. */
const MAX_COMMAND_LINE = 2048;

/** Options that one kind of guest has no use for; giving one of them is a mistake that would otherwise be silent. */
const FOREIGN: Readonly<Record<GuestKind, readonly (keyof StartGuestOptions)[]>> = {
  simulated: ["image", "flavour", "accelerator", "bridge", "extensions", "ovmf", "tpm", "scratchBytes"],
  qemu: ["files", "tree", "daemons"],
};

/** Kernel parameters as one line. Throws `usage` when it is too long. */
export function commandLine(parameters: readonly string[]): string {
  const line = parameters.join(" ");
  // The kernel's limit counts a closing zero.
  if (Buffer.byteLength(line) >= MAX_COMMAND_LINE) {
    throw new NacreError("usage", `kernel parameters: expected at most ${MAX_COMMAND_LINE} bytes`);
  }
  return line;
}

/** Throws `usage` for what cannot be meant. */
export function checkOptions(options: StartGuestOptions): void {
  const kind = options.kind ?? "simulated";
  for (const key of FOREIGN[kind]) {
    if (options[key] !== undefined) {
      const why = key === "files" ? ": a measured image takes no further files" : "";
      throw new NacreError("usage", `${key}: not an option of a ${kind} guest${why}`);
    }
  }
  for (const key of ["policy", "registries", "extraRoots", "hubConfig"] as const) {
    if (kind === "qemu" && options.initdata !== undefined && options[key] !== undefined) {
      throw new NacreError("usage", `${key}: part of initdata, which is given as a whole`);
    }
  }
  for (const { path, source, content } of options.files ?? []) {
    if (!path.startsWith("/") || posix.normalize(path) !== path || path.endsWith("/")) {
      throw new NacreError("usage", `extra file: expected a plain absolute path, got ${JSON.stringify(path)}`);
    }
    if ((source === undefined) === (content === undefined)) {
      throw new NacreError("usage", `extra file ${path}: expected a source or a content`);
    }
  }
  for (const parameter of options.kernelParameters ?? []) {
    if (/[\n\0]/u.test(parameter)) throw new NacreError("usage", "kernel parameters: expected one line");
  }
  const { memoryBytes, cpus, id, flavour, scratchBytes } = options;
  if (options.ovmf === true && options.tpm === false) {
    throw new NacreError("usage", "ovmf: measures into a TPM, which this guest is not to have");
  }
  if (scratchBytes !== undefined && !(scratchBytes > 0 && scratchBytes % SCRATCH_UNIT_BYTES === 0)) {
    throw new NacreError("usage", `scratch: expected whole MiB, at least one, got ${scratchBytes} bytes`);
  }
  if (flavour !== undefined && !/^[a-z]+$/u.test(flavour)) {
    throw new NacreError("usage", `flavour: expected a name such as devkit, got ${JSON.stringify(flavour)}`);
  }
  if (memoryBytes !== undefined && !(Number.isSafeInteger(memoryBytes) && memoryBytes >= MIN_MEMORY_BYTES)) {
    throw new NacreError("usage", `memory: expected at least ${MIN_MEMORY_BYTES} bytes, got ${memoryBytes}`);
  }
  if (cpus !== undefined && !(cpus > 0 && cpus <= MAX_CPUS)) {
    throw new NacreError("usage", `processors: expected more than 0 and at most ${MAX_CPUS}, got ${cpus}`);
  }
  if (id !== undefined && !isGuestId(id)) {
    throw new NacreError("usage", `guest id: expected eight hexadecimal digits, got ${JSON.stringify(id)}`);
  }
}
