import { readFileSync } from "node:fs";

import { type Effects, hasCode } from "@nacre/kata-sys-util";

import { NvrcError } from "./error.ts";
import type { Log } from "./log.ts";

/** Part of the measured image; absent where the kernel has everything built in. */
export const MODULE_LIST = "/usr/lib/nacre/modules";

/** Loads the listed modules, in the order of the list, which is that of their dependencies. */
export async function loadModules(effects: Effects, log: Log, list: string = MODULE_LIST): Promise<void> {
  for (const path of parseModuleList(readList(list))) {
    try {
      await effects.insertModule(path);
    } catch (cause) {
      throw new NvrcError("module", `load ${path}`, { cause });
    }
    log.debug(`loaded ${path}`);
  }
}

/** One absolute path a line; `#` begins a comment. */
export function parseModuleList(text: string): readonly string[] {
  const paths = text.split("\n").flatMap((line) => line.replace(/#.*/u, "").trim() || []);
  for (const path of paths) {
    if (!path.startsWith("/")) throw new NvrcError("module", `${MODULE_LIST}: expected an absolute path, got ${path}`);
  }
  return paths;
}

function readList(list: string): string {
  try {
    return readFileSync(list, "utf8");
  } catch (error) {
    if (hasCode(error, "ENOENT")) return "";
    throw new NvrcError("module", `read ${list}`, { cause: error });
  }
}

/** No module can be loaded from here on. A kernel without modules has nothing to lock. */
export async function lockModules(effects: Effects): Promise<void> {
  try {
    await effects.lockModules();
  } catch (error) {
    if (!hasCode(error, "ENOENT")) throw new NvrcError("module", "lock module loading", { cause: error });
  }
}
