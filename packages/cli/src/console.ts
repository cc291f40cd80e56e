import type { Readable, Writable } from "node:stream";

import { dialSocket } from "@nacre/vsock";

import { NacreError } from "./error.ts";
import { followFile, linesOf } from "./follow-file.ts";
import type { Guest } from "./guest/guest.ts";
import { CONSOLE_PORT } from "./guest/shell.ts";
import { visible } from "./visible.ts";

/** The agent is on this machine. */
const DIAL_TIMEOUT_MS = 10_000;
/** What ends a session whose shell does not answer, as with telnet: Ctrl-]. */
const ESCAPE = 0x1d;
/** The end of input, as typed at a terminal. */
const END_OF_TRANSMISSION = Uint8Array.of(4);
/** A shell that is told so often that there is no more input, and goes on, does not want to know. */
const MAX_ENDS = 64;

/**
 * A guest's console as it is written, until the guest ends or the signal aborts: lines that cannot steer the terminal,
 * or with `raw` the bytes as they are.
 */
export async function* consoleOf(guest: Guest, raw: boolean, signal: AbortSignal): AsyncGenerator<string | Buffer> {
  const over = new AbortController();
  guest.ended.then(
    () => over.abort(),
    () => over.abort(),
  );
  const bytes = followFile(guest.logFile, { signal: AbortSignal.any([over.signal, signal]) });
  if (raw) yield* bytes;
  // A serial line ends in carriage return and line feed.
  else for await (const line of linesOf(bytes)) yield `${visible(line.replace(/\r+$/u, ""))}\n`;
}

/** The two sides of a terminal. */
export interface Keyboard {
  readonly input: Readable;
  readonly output: Writable;
  /** Whether keys come one by one: then Ctrl-] ends the session, and nothing else does but the shell. */
  readonly terminal: boolean;
}

/** Joins a terminal to a shell of the agent's debug console until one of them ends. Throws NacreError `guest`. */
export async function shellSession(
  guest: Guest,
  { input, output, terminal }: Keyboard,
  signal: AbortSignal,
): Promise<void> {
  const address = guest.hybridAddress.replace(/\d+$/u, String(CONSOLE_PORT));
  const socket = await dialSocket(address, { timeoutMs: DIAL_TIMEOUT_MS, signal }).catch((cause: unknown) => {
    throw new NacreError("guest", `guest ${guest.id} has no debug console; it must be started with --shell`, { cause });
  });
  const { promise: over, resolve } = Promise.withResolvers<void>();
  const abort = (): void => void socket.destroy();
  const typed = (chunk: Buffer): void => {
    const end = terminal ? chunk.indexOf(ESCAPE) : -1;
    socket.write(end < 0 ? chunk : chunk.subarray(0, end));
    if (end >= 0) socket.destroy();
  };
  let ends = 0;
  const end = (): void => {
    ends += 1;
    socket.write(END_OF_TRANSMISSION);
  };
  signal.addEventListener("abort", abort, { once: true });
  input.on("data", typed).once("end", end);
  socket.on("data", (chunk: Buffer) => {
    if (!output.write(chunk)) socket.pause();
    // The first one may be typed ahead of a shell that is not reading yet, or be taken by a program that it has started.
    if (ends > 0 && ends < MAX_ENDS) end();
  });
  const drained = (): void => void socket.resume();
  output.on("drain", drained);
  // Reset by a guest that ends: the session is over.
  socket.on("error", () => {});
  socket.once("end", () => socket.end());
  socket.once("close", () => resolve());
  // Dialling leaves it paused.
  socket.resume();
  try {
    await over;
    signal.throwIfAborted();
  } finally {
    signal.removeEventListener("abort", abort);
    input.off("data", typed).off("end", end);
    output.off("drain", drained);
    input.pause();
  }
}
