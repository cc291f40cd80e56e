import { mkdir } from "node:fs/promises";

import { hasCode, SafeRoot, type Syscalls, unmountTree } from "@nacre/kata-sys-util";

import { KATA_ROOT } from "./paths.ts";

/** Makes a container's folder, which must not be there. Before CreateSandbox its parent may be missing. */
export async function makeBundle(bundle: string): Promise<void> {
  await mkdir(KATA_ROOT, { recursive: true, mode: 0o755 });
  await mkdir(bundle, { mode: 0o755 });
}

/** Unmounts what is mounted in a container's folder and removes it; absent is fine. */
export async function removeBundle(syscalls: Syscalls, bundle: string): Promise<void> {
  const name = bundle.slice(KATA_ROOT.length + 1);
  try {
    using root = SafeRoot.open(KATA_ROOT, { sys: syscalls });
    if (root.lstat(name) === undefined) return;
    await unmountTree(syscalls, bundle);
    await root.removeTree(name);
  } catch (error) {
    if (!hasCode(error, "ENOENT")) throw error;
  }
}
