import type { Syscalls } from "@nacre/kata-sys-util";

import type { AgentConfig } from "../config.ts";
import { FLAVOUR } from "../flavour.ts";
import type { Logger } from "../log.ts";
import { BECOME_SHELL, becomeShell } from "./become-shell.ts";
import { openDebugConsole } from "./debug-console.ts";

// Named here and not through FLAVOUR: the bundler sees what a condition is worth in one file only, and what the devkit
// flavour alone may have must not be in the bundles of the others.
declare const NACRE_FLAVOUR: string | undefined;

/** Opens the debug console that the settings ask for, where this build has one. Throws INTERNAL. */
export async function debugConsole(parts: {
  readonly config: AgentConfig;
  readonly syscalls: Syscalls;
  readonly log: Logger;
}): Promise<void> {
  const { config, syscalls, log } = parts;
  if (typeof NACRE_FLAVOUR === "undefined" || NACRE_FLAVOUR === "devkit") {
    await openDebugConsole({ serverAddr: config.serverAddr, port: config.debugConsoleVport, syscalls, log });
  } else {
    log.warning(`a debug console was asked for; the ${FLAVOUR} flavour has none`);
  }
}

/** Becomes the shell of a debug console where the arguments say so; returns in any other case. */
export function shellIfAsked(args: readonly string[]): void {
  if (typeof NACRE_FLAVOUR === "undefined" || NACRE_FLAVOUR === "devkit") {
    if (args[0] === BECOME_SHELL) becomeShell(args[1]);
  }
}
