import { mkdirSync } from "node:fs";

import { mountWithOptions } from "@nacre/kata-sys-util";

import { NvrcError } from "../error.ts";
import { extensionDevices } from "./devices.ts";
import type { Ports } from "../ports.ts";
import { readPins } from "./pins.ts";
import { planExtensions } from "./plan.ts";
import { requestedExtensions } from "./requested.ts";

/** Where extensions are mounted; the agent and the GPU's helpers look there (section 1.6). */
export const EXTENSIONS_ROOT = "/run/kata-extensions";

/** Opens and mounts every extension of this guest; answers with their roots by name. */
export async function mountExtensions(
  { sys, log, sysfs, openExtension }: Pick<Ports, "sys" | "log" | "sysfs" | "openExtension">,
  commandLine: string,
): Promise<ReadonlyMap<string, string>> {
  const plan = planExtensions(extensionDevices(sysfs), requestedExtensions(commandLine), readPins());
  const roots = new Map<string, string>();
  for (const extension of plan) {
    const target = `${EXTENSIONS_ROOT}/${extension.name}`;
    try {
      const device = await openExtension(extension);
      mkdirSync(target, { recursive: true, mode: 0o755 });
      await mountWithOptions(sys, device, target, "erofs", ["ro", "nosuid", "nodev"]);
    } catch (cause) {
      throw new NvrcError("extension", `extension ${extension.name}: open and mount`, { cause });
    }
    log.info(`extension ${extension.name} mounted, root hash ${extension.params.rootHash}`);
    roots.set(extension.name, target);
  }
  return roots;
}
