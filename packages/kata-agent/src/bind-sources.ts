import { closeSync, fstatSync, openSync } from "node:fs";
import { mkdir, realpath, writeFile } from "node:fs/promises";

import { hasCode, isWithin, MountFlag, OpenFlag, type Syscalls, Unmount } from "@nacre/kata-sys-util";
import type { grpc } from "@nacre/protocols";

import { internalError } from "./error.ts";
import { NO_ESCAPE, pathComponents } from "./guest-tree.ts";
import { KATA_ROOT } from "./paths.ts";

/** Mounts whose sources are pinned; to be disposed of once the runtime has made its own. */
export interface PinnedMounts extends AsyncDisposable {
  readonly mounts: readonly grpc.Mount[];
}

/**
 * The host names bind-mount sources, and below KATA_ROOT it may plant symbolic links with CopyFile, or a container may.
 * Each such source is opened without following any link and shown under `folder`, and that is what the runtime mounts:
 * what was checked is what the container gets. Other sources must not lead there by a link. Relative ones are refused;
 * upstream resolves them in the bundle (c8s#280). Throws INTERNAL with nothing left.
 */
export async function pinBindSources(
  syscalls: Syscalls,
  mounts: readonly grpc.Mount[],
  folder: string,
): Promise<PinnedMounts> {
  const pins: string[] = [];
  const dispose = async (): Promise<void> => {
    for (const pin of pins.splice(0)) await syscalls.umount2(pin, Unmount.DETACH | Unmount.NOFOLLOW);
  };
  try {
    const pinned: grpc.Mount[] = [];
    for (const mount of mounts) {
      if (!isBind(mount)) {
        pinned.push(mount);
        continue;
      }
      const path = `/${pathComponents(mount.source).join("/")}`;
      if (isWithin(KATA_ROOT, path)) {
        const pin = `${folder}/${pins.length}`;
        await pinSource(syscalls, path, pin);
        pins.push(pin);
        pinned.push({ ...mount, source: pin });
      } else pinned.push({ ...mount, source: await outside(path) });
    }
    return { mounts: pinned, [Symbol.asyncDispose]: dispose };
  } catch (error) {
    await dispose();
    throw error;
  }
}

async function pinSource(syscalls: Syscalls, path: string, pin: string): Promise<void> {
  const fd = openWithoutLinks(syscalls, path);
  try {
    if (fstatSync(fd).isDirectory()) await mkdir(pin, { recursive: true, mode: 0o700 });
    else {
      await mkdir(pin.slice(0, pin.lastIndexOf("/")), { recursive: true, mode: 0o700 });
      await writeFile(pin, "", { flag: "wx", mode: 0o600 });
    }
    await syscalls.mount(`/proc/self/fd/${fd}`, pin, null, MountFlag.BIND | MountFlag.REC);
  } finally {
    closeSync(fd);
  }
}

/** A path of the guest's own image, its links resolved; they must not lead to what host or containers can write. */
async function outside(path: string): Promise<string> {
  let real: string;
  try {
    real = await realpath(path);
  } catch (error) {
    if (hasCode(error, "ENOENT")) throw absent(path);
    throw error;
  }
  if (isWithin(KATA_ROOT, real)) throw internalError(`${path}: a symbolic link is on the way`);
  return real;
}

/** Opens what a path names, with no link on the way. The caller closes it. Throws INTERNAL. */
export function openWithoutLinks(syscalls: Syscalls, path: string, flags: number = OpenFlag.PATH): number {
  const root = openSync("/", OpenFlag.RDONLY | OpenFlag.DIRECTORY | OpenFlag.CLOEXEC);
  try {
    return syscalls.openat2(root, pathComponents(path).join("/") || ".", {
      // Without O_NOFOLLOW: with it, O_PATH would open a link at the end instead of refusing it.
      flags: flags | OpenFlag.CLOEXEC,
      resolve: NO_ESCAPE,
    });
  } catch (error) {
    if (hasCode(error, "ENOENT")) throw absent(path);
    if (hasCode(error, "ELOOP")) throw internalError(`${path}: a symbolic link is on the way`);
    throw error;
  } finally {
    closeSync(root);
  }
}

/** The system's words, which the real agent passes on. */
function absent(path: string): Error {
  return internalError("No such file or directory (os error 2)", new Error(path));
}

/** As the OCI runtimes tell: by the type, or by an option whatever the type. */
export function isBind(mount: grpc.Mount): boolean {
  return mount.type === "bind" || mount.options.includes("bind") || mount.options.includes("rbind");
}
