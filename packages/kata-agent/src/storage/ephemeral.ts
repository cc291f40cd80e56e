import { closeSync, openSync } from "node:fs";

import { MountFlag, mountWithOptions, OpenFlag, parseMountOptions, type Syscalls, Unmount } from "@nacre/kata-sys-util";

import { internalError } from "../error.ts";
import { GuestTree } from "../guest-tree.ts";
import { KATA_ROOT } from "../paths.ts";
import { applyFsGroup } from "./fs-group.ts";
import { setOwnership } from "./local.ts";
import { mountPointComponents } from "./mount-point.ts";
import { parseStorageOptions } from "./options.ts";
import type { StorageDriver, StorageMessage, Undo } from "./storage.ts";

/**
 * `ephemeral`: a tmpfs (section 3.4). Its options apply from the first moment; upstream drops them all until
 * UpdateEphemeralMounts, so that a size limit did not hold (a deviation).
 */
export class EphemeralDriver implements StorageDriver {
  readonly name = "ephemeral";
  readonly shareable = true;
  readonly outlivesContainers = true;
  readonly #syscalls: Syscalls;

  constructor(syscalls: Syscalls) {
    this.#syscalls = syscalls;
  }

  check(storage: StorageMessage): void {
    mountPointComponents(storage.mount_point);
    if (storage.fstype === "hugetlbfs") {
      throw internalError("allocate hugepages", hugepagesProblem(storage.options));
    }
    if (storage.fstype !== "tmpfs") throw internalError(`ephemeral: expected fstype tmpfs, got ${storage.fstype}`);
    refuseOtherMounts(parseStorageOptions(storage.options).rest);
  }

  async add(storage: StorageMessage): Promise<Undo> {
    const { fsGid, mode, rest } = parseStorageOptions(storage.options);
    const components = mountPointComponents(storage.mount_point);
    const tree = new GuestTree(this.#syscalls, KATA_ROOT);
    const options = mode === undefined ? rest : [...rest, `mode=${mode.toString(8)}`];
    using folder = tree.open(components, { create: 0o755 });
    try {
      await mountWithOptions(this.#syscalls, storage.source || "tmpfs", folder.path, "tmpfs", options);
    } catch (cause) {
      throw internalError(`failed to mount ${storage.source} to ${storage.mount_point}`, cause);
    }
    const undo = async (): Promise<void> => {
      using parent = tree.open(components.slice(0, -1));
      await this.#syscalls.umount2(`${parent.path}/${components.at(-1) ?? ""}`, Unmount.DETACH | Unmount.NOFOLLOW);
    };
    try {
      // The descriptor shows the folder below the mount; the name leads to the mount itself.
      using parent = tree.open(components.slice(0, -1));
      const mounted = openSync(
        `${parent.path}/${components.at(-1) ?? ""}`,
        OpenFlag.RDONLY | OpenFlag.DIRECTORY | OpenFlag.NOFOLLOW,
      );
      try {
        if (fsGid !== undefined) setOwnership(this.#syscalls, mounted, { fsGid, mode });
        if (storage.fs_group !== null) applyFsGroup(this.#syscalls, mounted, storage.fs_group, { readOnly: false });
      } finally {
        closeSync(mounted);
      }
    } catch (error) {
      await undo();
      throw error;
    }
    return undo;
  }
}

/**
 * Options that would make something else of the mount than a new file system: with `bind` the source, which is a mere
 * label otherwise, would be any folder of the guest.
 */
function refuseOtherMounts(options: readonly string[]): void {
  for (const option of options) {
    const { flags, propagation } = parseMountOptions([option]);
    if ((flags & (MountFlag.BIND | MountFlag.REMOUNT)) !== 0 || propagation.length > 0) {
      throw internalError(`ephemeral: a new tmpfs cannot have the option ${option}`);
    }
  }
}

/** Pages are allocated in sysfs, which is the machine's and not the guest's while the guest is simulated. */
function hugepagesProblem(options: readonly string[]): Error {
  const has = (key: string): boolean => options.some((option) => option.startsWith(`${key}=`));
  return has("pagesize") && has("size")
    ? new Error("this guest has no huge pages to give")
    : new Error("no pagesize/size options found");
}
