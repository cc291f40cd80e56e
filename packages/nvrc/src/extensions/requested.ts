import { parseKernelCommandLine } from "@nacre/protocols";

import { NvrcError } from "../error.ts";
import { checkExtensionName } from "./name.ts";
import { parseVerityParams, type VerityParams } from "./verity-params.ts";

const KEY = /^kata\.extension\.(.*)\.verity_params$/su;
/** A guest has as many virtio disks as PCI slots; more names than these are no configuration. */
const MAX_EXTENSIONS = 32;

/** The extensions that the kernel command line selects, `kata.extension.<name>.verity_params=…`. */
export function requestedExtensions(commandLine: string): ReadonlyMap<string, VerityParams> {
  const found = new Map<string, VerityParams>();
  for (const { key, value } of parseKernelCommandLine(commandLine).parameters) {
    const name = KEY.exec(key)?.[1];
    if (name === undefined) continue;
    checkExtensionName(name);
    if (found.has(name)) throw new NvrcError("extension", `${key}: expected once, got twice`);
    if (value === undefined) throw new NvrcError("extension", `${key}: expected a value, got none`);
    if (found.size >= MAX_EXTENSIONS)
      throw new NvrcError("extension", `extensions: expected at most ${MAX_EXTENSIONS}`);
    found.set(name, parseVerityParams(value, key));
  }
  return found;
}
