import { NacreError } from "../error.ts";

/** The ways in which Kata runs our guests; the names are those of upstream's configurations. */
export const HANDLERS = ["remote", "qemu", "qemu-snp", "qemu-tdx"] as const;
export type Handler = (typeof HANDLERS)[number];

/** What containerd, CRI-O and RuntimeClasses call it; upstream's own handlers keep their names. */
export function handlerName(handler: Handler): string {
  return `kata-nacre-${handler}`;
}

/** Throws NacreError `usage`. */
export function parseHandler(text: string): Handler {
  const found = HANDLERS.find((handler) => handler === text);
  if (found === undefined) {
    throw new NacreError("usage", `--handler: expected ${HANDLERS.join(", ")}, got ${JSON.stringify(text)}`);
  }
  return found;
}

/** Where Kata's release (kata-deploy) and packages of distributions put things, in the order in which they are tried. */
export const SHIMS: readonly string[] = [
  "/opt/kata/bin/containerd-shim-kata-v2",
  "/usr/local/bin/containerd-shim-kata-v2",
  "/usr/bin/containerd-shim-kata-v2",
];
const BIN: readonly string[] = ["/opt/kata/bin", "/usr/local/bin", "/usr/bin"];

/** Files that a handler with a virtual machine needs, beside our image and its kernel. */
export interface MachineFiles {
  readonly hypervisor: readonly string[];
  /** Absent: QEMU's own. */
  readonly firmware?: readonly string[];
}

/** Candidates for a handler; undefined for the remote one, which has no machine of its own. */
export function machineFiles(handler: Handler): MachineFiles | undefined {
  const hypervisor = BIN.map((folder) => `${folder}/qemu-system-x86_64`);
  switch (handler) {
    case "remote":
      return undefined;
    case "qemu":
      return { hypervisor };
    case "qemu-snp":
      return { hypervisor, firmware: firmwares("AMDSEV.fd") };
    case "qemu-tdx":
      return { hypervisor, firmware: firmwares("OVMF.inteltdx.fd") };
  }
}

function firmwares(name: string): readonly string[] {
  return ["/opt/kata/share/ovmf", "/usr/share/ovmf"].map((folder) => `${folder}/${name}`);
}
