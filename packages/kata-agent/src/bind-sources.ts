import { closeSync, openSync } from "node:fs";

import { hasCode, OpenFlag, type Syscalls } from "@nacre/kata-sys-util";
import type { grpc } from "@nacre/protocols";

import { internalError } from "./error.ts";
import { NO_ESCAPE, pathComponents } from "./guest-tree.ts";

/** Mounts whose sources are held open; the descriptors must be closed once the container is created. */
export interface HeldMounts extends Disposable {
  readonly mounts: readonly grpc.Mount[];
}

/**
 * The host may plant symbolic links below the shared folder with CopyFile, and names bind-mount sources there. Each
 * source is opened here without following any link, and the runtime gets the descriptor's path: what was checked is
 * what is mounted. Relative sources are refused; upstream resolves them in the bundle. Throws INTERNAL.
 */
export function holdBindSources(syscalls: Syscalls, mounts: readonly grpc.Mount[]): HeldMounts {
  const fds: number[] = [];
  const close = (): void => {
    for (const fd of fds.splice(0)) closeSync(fd);
  };
  try {
    const held = mounts.map((mount) => {
      if (!isBind(mount)) return mount;
      const fd = openWithoutLinks(syscalls, mount.source);
      fds.push(fd);
      return { ...mount, source: `/proc/${process.pid}/fd/${fd}` };
    });
    return { mounts: held, [Symbol.dispose]: close };
  } catch (error) {
    close();
    throw error;
  }
}

/** Opens what a path names, with no link on the way. The caller closes it. Throws INTERNAL. */
export function openWithoutLinks(syscalls: Syscalls, path: string, flags: number = OpenFlag.PATH): number {
  const root = openSync("/", OpenFlag.RDONLY | OpenFlag.DIRECTORY | OpenFlag.CLOEXEC);
  try {
    return syscalls.openat2(root, pathComponents(path).join("/") || ".", {
      flags: flags | OpenFlag.NOFOLLOW | OpenFlag.CLOEXEC,
      resolve: NO_ESCAPE,
    });
  } catch (error) {
    if (hasCode(error, "ENOENT")) throw internalError("No such file or directory (os error 2)", new Error(path));
    if (hasCode(error, "ELOOP")) throw internalError(`${path}: a symbolic link is on the way`);
    throw error;
  } finally {
    closeSync(root);
  }
}

function isBind(mount: grpc.Mount): boolean {
  return mount.type === "bind" || mount.options.includes("bind") || mount.options.includes("rbind");
}
