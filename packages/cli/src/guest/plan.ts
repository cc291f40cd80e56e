import { readFileSync } from "node:fs";

/** What a guest is made from; written by the starter, read by the supervisor and inside the namespaces. */
export type GuestPlan = SimulatedPlan | QemuPlan;

interface CommonPlan {
  /** Files that this guest has beyond those of its image, as they are on this machine. */
  readonly files: readonly PlannedFile[];
  /** Image of a block device with initdata; undefined: the guest has no such device. */
  readonly initdata: string | undefined;
  /** Longest time from start to an agent that answers, in milliseconds. */
  readonly startTimeoutMs: number;
  /** Where a debugger is to find the daemon that is debugged; undefined: on a free port. */
  readonly debugUrl: string | undefined;
}

/** A guest in namespaces. */
export interface SimulatedPlan extends CommonPlan {
  readonly kind: "simulated";
  /** The read-only root directory. */
  readonly tree: string;
  /** A folder that is seen as /usr/lib/nacre instead of the root's. */
  readonly daemons: string | undefined;
  readonly memoryBytes: number | undefined;
  readonly cpus: number | undefined;
}

/** A virtual machine. Paths are absolute. */
export interface QemuPlan extends CommonPlan {
  readonly kind: "qemu";
  /** Whether firmware boots it, which measures the boot: then the kernel is a unified image. */
  readonly ovmf: boolean;
  /** Whether it has a TPM. */
  readonly tpm: boolean;
  readonly kernel: string;
  readonly initramfs: string | undefined;
  /** Raw, read-only. */
  readonly disk: string;
  /** Undefined: the unified image's own. */
  readonly commandLine: string | undefined;
  readonly memoryBytes: number;
  readonly cpus: number;
  /** Further measured disks, by their serial numbers. */
  readonly extensions: readonly { readonly serial: string; readonly path: string }[];
  /** Size of a disk that goes with the guest; undefined: none. */
  readonly scratchBytes: number | undefined;
  /** Undefined: KVM where it works, else TCG. */
  readonly accelerator: Accelerator | undefined;
  /** Undefined: the first of {@link BRIDGES} that this machine has. */
  readonly bridge: Bridge | undefined;
}

/**
 * How this machine reaches the ports of a guest: vsock of its kernel, vsock of the program vhost-device-vsock, or a
 * virtio-serial port, which a devkit guest joins to its daemons.
 */
export const BRIDGES = ["vhost-vsock", "vhost-user-vsock", "virtio-serial"] as const;
export type Bridge = (typeof BRIDGES)[number];

/** Who runs the guest's instructions: the processor, or QEMU. */
export type Accelerator = "kvm" | "tcg";

/** A file that is added to the root: `from` is a path on this machine. */
export interface PlannedFile {
  readonly path: string;
  readonly from: string;
  readonly mode: number;
}

export function readPlan(path: string): GuestPlan {
  return JSON.parse(readFileSync(path, "utf8")) as GuestPlan;
}
