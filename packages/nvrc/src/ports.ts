import type { Effects, Syscalls } from "@nacre/kata-sys-util";

import type { OpenExtension } from "./extensions/open.ts";
import type { RunHelper } from "./helper.ts";
import type { Log } from "./log.ts";
import type { MountPoint } from "./mounts.ts";

/** What differs between a guest that has a kernel of its own and one that shares the developer's (decision 12). */
export interface Ports {
  readonly sys: Syscalls;
  readonly effects: Effects;
  readonly log: Log;
  readonly mounts: readonly MountPoint[];
  readonly optionalMounts: readonly MountPoint[];
  /** Where the devices of this guest are described. */
  readonly sysfs: string;
  readonly run: RunHelper;
  readonly openExtension: OpenExtension;
  /** Where daemons write to when their output is wanted. */
  readonly output: () => number;
}
