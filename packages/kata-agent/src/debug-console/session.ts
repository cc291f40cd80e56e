import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync } from "node:fs";
import type { Socket } from "node:net";

import { openPty, openPtyPair, type Syscalls } from "@nacre/kata-sys-util";

import { BECOME_SHELL } from "./become-shell.ts";

/** What one read of the terminal brings at most. */
const CHUNK = 16_384;

/**
 * A shell on a terminal of its own, joined to a connection until one of them ends; both have ended when this resolves
 * with the shell's exit status (undefined for a signal). Rejects where there is no terminal or the shell cannot run.
 */
export async function runShell(shell: string, socket: Socket, sys: Syscalls): Promise<number | undefined> {
  const { master, slave } = openPtyPair(sys);
  using terminal = openPty(master, sys);
  const child = startShell(shell, slave);
  const exited = new Promise<number | undefined>((resolve) => {
    child.once("exit", (code) => resolve(code ?? undefined));
  });
  await once(child, "spawn");
  const gone = new AbortController();
  socket.once("close", () => gone.abort(new Error("the connection ended")));
  // The kernel hangs the terminal up when its session's first process ends, whoever else has it open: all that was
  // written is read before that shows.
  await Promise.race([
    toSocket(terminal.reader, socket, gone.signal),
    toTerminal(socket, terminal.writer, gone.signal),
  ]);
  child.kill("SIGKILL");
  socket.end();
  return exited;
}

/** In a session of its own (`detached`), whose first program takes the terminal. Closes the slave. */
function startShell(shell: string, slave: number): ChildProcess {
  const [program = ""] = process.argv.slice(1);
  try {
    return spawn(process.execPath, [...process.execArgv, program, BECOME_SHELL, shell], {
      stdio: [slave, slave, slave],
      detached: true,
      cwd: "/",
      env: {},
    });
  } finally {
    closeSync(slave);
  }
}

type Reader = ReturnType<typeof openPty>["reader"];
type Writer = ReturnType<typeof openPty>["writer"];

async function toSocket(reader: Reader, socket: Socket, signal: AbortSignal): Promise<void> {
  for (;;) {
    const chunk = await reader.read(CHUNK, signal).catch(() => null);
    if (chunk === null || !socket.writable) return;
    if (!socket.write(chunk)) await once(socket, "drain", { signal }).catch(() => undefined);
  }
}

async function toTerminal(socket: Socket, writer: Writer, signal: AbortSignal): Promise<void> {
  try {
    for await (const chunk of socket) await writer.write(chunk as Buffer, signal);
  } catch {
    // Reset, or nobody reads the terminal: the other side says how it ended.
  }
}
