import { closeSync, existsSync, openSync } from "node:fs";
import { spawn } from "node:child_process";
import { once } from "node:events";
import type { Socket } from "node:net";

import type { Syscalls } from "@nacre/kata-sys-util";
import { type Listener, listenSockets, siblingAddress } from "@nacre/vsock";

import { describeError, internalError } from "../error.ts";
import { takesPeer } from "../flavour.ts";
import type { Logger } from "../log.ts";
import { runShell } from "./session.ts";
import { findShell, noShell, SHELL_ENVIRONMENT } from "./shell.ts";

/** Shells at one time: each is a process or more of a guest that may be small. */
const MAX_SESSIONS = 16;

const CONSOLE = "/dev/console";

export interface DebugConsoleOptions {
  readonly serverAddr: string;
  /** 0 puts one shell on the guest's console. */
  readonly port: number;
  readonly syscalls: Syscalls;
  readonly log: Logger;
}

/**
 * The debug console (section 1.1): a shell for each connection, or one on the guest's console. It is not put to the
 * policy, so only the devkit flavour has it. Where the guest has no shell, whoever connects is told so.
 */
export async function openDebugConsole(options: DebugConsoleOptions): Promise<Listener | undefined> {
  const { port, serverAddr, log } = options;
  if (port === 0) {
    void consoleShell(log).catch((error: unknown) => log.error("debug console", { error: describeError(error) }));
    return undefined;
  }
  const address = siblingAddress(serverAddr, port);
  if (address === undefined) throw internalError(`the debug console ${port} cannot be had beside ${serverAddr}`);
  let sessions = 0;
  const serve = async (socket: Socket): Promise<void> => {
    sessions += 1;
    try {
      if (sessions > MAX_SESSIONS) return refuse(socket, `expected at most ${MAX_SESSIONS} shells at one time`);
      await session(socket, options);
    } finally {
      sessions -= 1;
    }
  };
  const listener = await listenSockets(address, (socket) => void serve(socket), { vsockPeers: takesPeer });
  log.warning("the debug console is open: its shells are put to no policy", { address });
  return listener;
}

async function session(socket: Socket, { syscalls, log }: DebugConsoleOptions): Promise<void> {
  // Without a listener the error of a connection that is reset would end the agent.
  socket.on("error", (error) => log.debug("debug console: connection", { error: error.message }));
  const shell = findShell(existsSync);
  if (shell === undefined) {
    refuse(socket, noShell());
    log.error(noShell());
    return;
  }
  log.info("debug console: a shell begins", { shell });
  try {
    const status = await runShell(shell, socket, syscalls);
    log.info("debug console: a shell ended", { status: status ?? "a signal" });
  } catch (error) {
    refuse(socket, describeError(error));
    log.error("debug console", { error: describeError(error) });
  }
}

function refuse(socket: Socket, text: string): void {
  socket.end(`${text}\r\n`);
}

/** One shell on the console, as the real agent starts it: without a session of its own. */
async function consoleShell(log: Logger): Promise<void> {
  const shell = findShell(existsSync);
  if (shell === undefined) throw internalError(noShell());
  const fd = openSync(CONSOLE, "r+");
  try {
    const stdio = [fd, fd, fd];
    const child = spawn(shell, ["-i"], { stdio, cwd: "/", env: { ...SHELL_ENVIRONMENT } });
    log.warning("the debug console is open: its shell is put to no policy", { console: CONSOLE });
    await once(child, "exit");
  } finally {
    closeSync(fd);
  }
}
