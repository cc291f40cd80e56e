/** Node's names of the architectures that a guest is built for. */
export type Arch = "x64" | "arm64";

export const ARCHS: readonly Arch[] = ["x64", "arm64"];

/** What this machine is; it builds for the other one too. */
export const HOST_ARCH: Arch = process.arch === "arm64" ? "arm64" : "x64";

/** Debian's name. */
export const DEBIAN_ARCH: Readonly<Record<Arch, string>> = { x64: "amd64", arm64: "arm64" };

/** Debian's name for the folder of libraries, which the loader searches without a cache. */
export const TRIPLET: Readonly<Record<Arch, string>> = { x64: "x86_64-linux-gnu", arm64: "aarch64-linux-gnu" };

/** The kernel's name, as `uname -m` has it. */
export const KERNEL_ARCH: Readonly<Record<Arch, string>> = { x64: "x86_64", arm64: "aarch64" };

export function parseArch(text: string): Arch {
  const found = ARCHS.find((arch) => arch === text);
  if (found === undefined) throw new Error(`architecture: expected ${ARCHS.join(" or ")}, got ${text}`);
  return found;
}
