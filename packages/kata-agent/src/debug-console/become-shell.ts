import { Ioctl, linuxSyscalls } from "@nacre/kata-sys-util";

import { internalError } from "../error.ts";
import { SHELL_ENVIRONMENT } from "./shell.ts";

/** The argument by which the agent is started again to become a shell; in the devkit flavour alone. */
export const BECOME_SHELL = "--become-shell";

/**
 * Makes the terminal on standard input the one that signals of this session come from, and becomes the shell. Node can
 * start a child in a session of its own, but only that child can take the terminal. Throws INTERNAL.
 */
export function becomeShell(shell: string | undefined): never {
  if (shell === undefined || process.execve === undefined) throw internalError(`${BECOME_SHELL}: expected a shell`);
  linuxSyscalls().ioctl(0, Ioctl.TIOCSCTTY, 0);
  process.execve(shell, [shell], { ...SHELL_ENVIRONMENT });
  throw internalError(`${shell} was not started`);
}
