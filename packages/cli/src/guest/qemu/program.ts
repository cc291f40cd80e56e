/** The QEMU for this machine's own architecture, of Debian's package qemu-system-x86 or qemu-system-arm. */
export function qemuProgram(): string {
  return process.arch === "arm64" ? "/usr/bin/qemu-system-aarch64" : "/usr/bin/qemu-system-x86_64";
}
