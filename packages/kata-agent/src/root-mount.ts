import { closeSync } from "node:fs";
import { mkdir } from "node:fs/promises";

import { MountFlag, OpenFlag, type Syscalls } from "@nacre/kata-sys-util";

import { openWithoutLinks } from "./bind-sources.ts";
import { internalError } from "./error.ts";

/** The real agent's words for a root that cannot be had; an absent path is called rootfs. */
const UNNAMED = "rootfs";

/**
 * Without a guest pull the host names a folder that is shown as the container's root (section 3.5). No link may be on
 * the way to it. Whether the host may do this at all is the policy's to say. Throws INTERNAL.
 */
export async function mountRoot(syscalls: Syscalls, source: string, target: string): Promise<void> {
  const failed = (cause: unknown): Error =>
    internalError(
      `failed to mount ${source === "" ? UNNAMED : source} to ${target}, with error: ENOENT: No such file or directory`,
      cause,
    );
  if (!source.startsWith("/")) throw failed(new Error("the root path is not absolute"));
  let fd: number;
  try {
    fd = openWithoutLinks(syscalls, source, OpenFlag.PATH | OpenFlag.DIRECTORY);
  } catch (cause) {
    throw failed(cause);
  }
  try {
    await mkdir(target, { recursive: true, mode: 0o755 });
    await syscalls.mount(`/proc/self/fd/${fd}`, target, null, MountFlag.BIND | MountFlag.REC);
  } finally {
    closeSync(fd);
  }
}
