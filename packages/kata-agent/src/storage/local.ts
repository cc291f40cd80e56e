import { At, type Syscalls } from "@nacre/kata-sys-util";

import { GuestTree } from "../guest-tree.ts";
import { KATA_ROOT } from "../paths.ts";
import { applyFsGroup } from "./fs-group.ts";
import { mountPointComponents } from "./mount-point.ts";
import { parseStorageOptions } from "./options.ts";
import type { StorageDriver, StorageMessage, Undo } from "./storage.ts";

/** Permissions of a folder for which the host names none. */
const DEFAULT_MODE = 0o755;

/**
 * `local`: a folder in the guest (section 3.4). It stays until the sandbox ends: an emptyDir outlives the container
 * that used it first.
 */
export class LocalDriver implements StorageDriver {
  readonly name = "local";
  readonly shareable = true;
  readonly outlivesContainers = true;
  readonly #syscalls: Syscalls;

  constructor(syscalls: Syscalls) {
    this.#syscalls = syscalls;
  }

  check(storage: StorageMessage): void {
    mountPointComponents(storage.mount_point);
    parseStorageOptions(storage.options);
  }

  add(storage: StorageMessage): Promise<Undo> {
    const { fsGid, mode } = parseStorageOptions(storage.options);
    using folder = new GuestTree(this.#syscalls, KATA_ROOT).open(mountPointComponents(storage.mount_point), {
      create: DEFAULT_MODE,
    });
    setOwnership(this.#syscalls, folder.fd, { fsGid, mode });
    if (storage.fs_group !== null) applyFsGroup(this.#syscalls, folder.fd, storage.fs_group, { readOnly: false });
    return Promise.resolve(() => Promise.resolve());
  }
}

/** `mode=` and `fsgid=`: with a group the folder is its own and setgid, so that what is made inside is the group's. */
export function setOwnership(
  syscalls: Syscalls,
  fd: number,
  { fsGid, mode }: { fsGid: number | undefined; mode: number | undefined },
): void {
  if (fsGid !== undefined) syscalls.fchownat(fd, "", 0xffff_ffff, fsGid, At.EMPTY_PATH);
  const path = `/proc/self/fd/${fd}`;
  const current = syscalls.statx(fd, "", At.EMPTY_PATH).mode & 0o7777;
  const wanted = (mode ?? current) | (fsGid === undefined ? 0 : 0o2000);
  if (wanted !== current) syscalls.fchmodat(At.FDCWD, path, wanted);
}
