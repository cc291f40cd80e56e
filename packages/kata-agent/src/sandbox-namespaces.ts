import { closeSync, openSync } from "node:fs";
import { mkdir, rm, writeFile } from "node:fs/promises";

import { CloneFlag, MountFlag, type Syscalls, Unmount } from "@nacre/kata-sys-util";

import { internalError } from "./error.ts";

/** Paths by which a container joins the sandbox's namespaces. */
export interface SandboxNamespaces {
  readonly ipc: string;
  readonly uts: string;
}

/**
 * Makes new ipc and uts namespaces with the host's name for the pod, and pins them as files (section 3.8). Namespaces
 * belong to a thread, so the main thread steps into new ones, opens them and steps back, without giving up control in
 * between; everything else in the process stays where it was. Throws INTERNAL with nothing left behind.
 */
export async function pinNamespaces(syscalls: Syscalls, folder: string, hostname: string): Promise<SandboxNamespaces> {
  const { ipc, uts } = makeNamespaces(syscalls, hostname);
  const paths = { ipc: `${folder}/ipc`, uts: `${folder}/uts` };
  try {
    await mkdir(folder, { recursive: true, mode: 0o755 });
    await pin(syscalls, ipc, paths.ipc, "IPC");
    await pin(syscalls, uts, paths.uts, "UTS");
  } catch (error) {
    await unpinNamespaces(syscalls, folder);
    throw error;
  } finally {
    closeSync(ipc);
    closeSync(uts);
  }
  return paths;
}

/** Takes the pins away; the namespaces end with their last process. */
export async function unpinNamespaces(syscalls: Syscalls, folder: string): Promise<void> {
  for (const name of ["ipc", "uts"]) {
    // Not mounted, or never made: both are what is wanted.
    await syscalls.umount2(`${folder}/${name}`, Unmount.DETACH | Unmount.NOFOLLOW).catch(() => undefined);
  }
  await rm(folder, { recursive: true, force: true });
}

function makeNamespaces(syscalls: Syscalls, hostname: string): { ipc: number; uts: number } {
  const oldIpc = openSync("/proc/thread-self/ns/ipc", "r");
  const oldUts = openSync("/proc/thread-self/ns/uts", "r");
  try {
    step("IPC", () => syscalls.unshare(CloneFlag.NEWIPC | CloneFlag.NEWUTS));
    try {
      if (hostname !== "") step("UTS", () => syscalls.sethostname(hostname));
      return { ipc: openSync("/proc/thread-self/ns/ipc", "r"), uts: openSync("/proc/thread-self/ns/uts", "r") };
    } finally {
      syscalls.setns(oldIpc, CloneFlag.NEWIPC);
      syscalls.setns(oldUts, CloneFlag.NEWUTS);
    }
  } finally {
    closeSync(oldIpc);
    closeSync(oldUts);
  }
}

async function pin(syscalls: Syscalls, fd: number, path: string, name: string): Promise<void> {
  try {
    await writeFile(path, "", { flag: "wx", mode: 0o444 });
    await syscalls.mount(`/proc/self/fd/${fd}`, path, null, MountFlag.BIND);
  } catch (cause) {
    throw internalError(`setup persistent ${name} namespace`, cause);
  }
}

function step(name: string, call: () => void): void {
  try {
    call();
  } catch (cause) {
    throw internalError(`setup persistent ${name} namespace`, cause);
  }
}
