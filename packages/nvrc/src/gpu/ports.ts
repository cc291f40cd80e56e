import type { Effects } from "@nacre/kata-sys-util";

import type { StartDaemon } from "../daemons.ts";
import type { RunHelper } from "../helper.ts";
import type { Log } from "../log.ts";
import type { NvrcOptions } from "../options.ts";
import type { MarkerWait } from "../syslog.ts";

/** What setting up a GPU needs of the guest. */
export interface GpuPorts {
  readonly effects: Effects;
  readonly log: Log;
  readonly options: NvrcOptions;
  readonly run: RunHelper;
  readonly start: StartDaemon;
  readonly waitForSyslog: MarkerWait;
  readonly sysfs: string;
  /** Root of the GPU extension; undefined in an image that has the GPU's user space itself. */
  readonly extension: string | undefined;
  /** Before every path of this guest; empty but in tests. */
  readonly root: string;
}

/** Where a file of the GPU's user space lies: in the extension, or in the image itself. */
export function gpuPath({ root, extension }: Pick<GpuPorts, "root" | "extension">, path: string): string {
  return `${root}${extension ?? ""}${path}`;
}
