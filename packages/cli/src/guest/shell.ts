import { existsSync } from "node:fs";

import { NacreError } from "../error.ts";
import type { ExtraFile, StartGuestOptions } from "./options.ts";
import type { GuestKind } from "./state.ts";

/** The agent's debug console (kata-agent, section 2.3). */
export const CONSOLE_PORT = 1026;
/** Of this machine; one file is all the programs that a look around needs. */
const BUSYBOX = "/bin/busybox";

/** Options for a guest whose debug console can be used. A simulated guest has no shell of its own, an image has it in an extension. Throws `environment`. */
export function shellOptions(
  kind: GuestKind = "simulated",
  exists: (path: string) => boolean = existsSync,
): Pick<StartGuestOptions, "kernelParameters" | "files" | "extensions"> {
  const kernelParameters = ["agent.debug_console", `agent.debug_console_vport=${CONSOLE_PORT}`];
  if (kind !== "simulated") return { kernelParameters, extensions: ["devkit"] };
  if (!exists(BUSYBOX)) {
    throw new NacreError("environment", `--shell: expected ${BUSYBOX}: apt-get install busybox-static`);
  }
  const shell: ExtraFile = { path: "/usr/bin/sh", source: BUSYBOX, mode: 0o755 };
  return { kernelParameters, files: [shell] };
}
