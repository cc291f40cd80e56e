import { randomBytes } from "node:crypto";
import { join } from "node:path";

/** Where guests of this machine keep their files; on a tmpfs, so that a restart of the machine clears it. */
export const DEFAULT_STATE_ROOT = "/run/nacre";
/** Guests are named by this many random bytes in hexadecimal. */
const ID_BYTES = 4;
const ID: RegExp = /^[0-9a-f]{8}$/u;

/** The agent's port (nvrc-and-guest-image, 3.2). */
export const AGENT_PORT = 1024;

/** Everything of a guest that has a name outside of it follows from its id, so that it is found after a crash. */
export interface GuestLayout {
  readonly id: string;
  readonly folder: string;
  readonly state: string;
  readonly plan: string;
  readonly log: string;
  /** Sockets `PORT.sock`; the guest sees the folder as /run/vsock. */
  readonly vsock: string;
  readonly hybridSocket: string;
  /** What a measured boot's firmware remembers, and its TPM. */
  readonly firmwareVariables: string;
  readonly tpm: string;
  /** A message of reference values: what of a guest with a TPM follows from more than its image. */
  readonly referenceValues: string;
  /** Where QEMU reaches the process that is its vsock device. */
  readonly vsockDevice: string;
  /** Contents of extra files. */
  readonly files: string;
  /** The block device with initdata, read-only to the guest. */
  readonly initdata: string;
  /** The kernel's command line as the guest has it. */
  readonly commandLine: string;
  /** Where the guest's root is put together, in its own mount namespace only. */
  readonly root: string;
  /** What the command remembers about containers that it made. */
  readonly containers: string;
  /** The network interface on the machine's side; 15 bytes at most (IFNAMSIZ). */
  readonly interface: string;
  /** The control group, below the root of every hierarchy. */
  readonly cgroup: string;
}

export function stateRoot(env: Readonly<Record<string, string | undefined>> = process.env): string {
  return env["NACRE_STATE_DIR"] ?? DEFAULT_STATE_ROOT;
}

export function guestsFolder(root: string): string {
  return join(root, "guests");
}

export function newGuestId(): string {
  return randomBytes(ID_BYTES).toString("hex");
}

export function isGuestId(text: string): boolean {
  return ID.test(text);
}

export function guestLayout(root: string, id: string): GuestLayout {
  const folder = join(guestsFolder(root), id);
  return {
    id,
    folder,
    state: join(folder, "state.json"),
    plan: join(folder, "plan.json"),
    log: join(folder, "guest.log"),
    vsock: join(folder, "vsock"),
    hybridSocket: join(folder, "hybrid.sock"),
    firmwareVariables: join(folder, "firmware-variables.fd"),
    tpm: join(folder, "tpm"),
    referenceValues: join(folder, "reference-values.json"),
    vsockDevice: join(folder, "vsock-device.sock"),
    files: join(folder, "files"),
    initdata: join(folder, "initdata.img"),
    commandLine: join(folder, "cmdline"),
    root: join(folder, "root"),
    containers: join(folder, "containers"),
    interface: `nacre-${id}`,
    cgroup: `nacre-${id}`,
  };
}

/** A port's socket as seen from the machine. */
export function portSocket(layout: GuestLayout, port: number): string {
  return join(layout.vsock, `${port}.sock`);
}
