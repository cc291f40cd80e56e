import type { Socket } from "node:net";
import { VsockError } from "./error.ts";

/** `CONNECT 4294967295\n` is 19 bytes; an answer is `OK 4294967295\n`. A longer first line is no handshake. */
export const MAX_LINE = 64;

/**
 * Reads up to the first newline and gives back what follows it. Rejects when the line is too long, when the socket
 * ends or fails before it, and on abort. The socket is left paused.
 */
export function readLine(socket: Socket, signal: AbortSignal | undefined): Promise<string> {
  return new Promise((resolve, reject) => {
    let have: Buffer = Buffer.alloc(0);
    const finish = (): void => {
      socket.off("data", data).off("end", ended).off("error", failed).off("close", ended);
      signal?.removeEventListener("abort", aborted);
      socket.pause();
    };
    const failed = (error: Error): void => {
      finish();
      reject(error);
    };
    const ended = (): void => failed(new VsockError("handshake", "expected a line, got the end of the connection"));
    const aborted = (): void => failed(signal?.reason as Error);
    const data = (chunk: Buffer): void => {
      have = have.length === 0 ? chunk : Buffer.concat([have, chunk]);
      const newline = have.indexOf(0x0a);
      if (newline >= MAX_LINE || (newline < 0 && have.length >= MAX_LINE)) {
        failed(new VsockError("handshake", `expected a line of at most ${MAX_LINE} bytes`));
      } else if (newline >= 0) {
        finish();
        const rest = have.subarray(newline + 1);
        if (rest.length > 0) socket.unshift(rest);
        resolve(have.subarray(0, newline).toString("latin1"));
      }
    };
    if (signal?.aborted === true) return failed(signal.reason as Error);
    socket.on("end", ended).on("close", ended).on("error", failed).on("data", data);
    signal?.addEventListener("abort", aborted);
  });
}

/** The caller's half: asks a multiplexer for a port; afterwards the socket leads there. Destroys it on failure. */
export async function askForPort(socket: Socket, port: number, signal: AbortSignal | undefined): Promise<void> {
  try {
    socket.write(`CONNECT ${port}\n`);
    const line = await readLine(socket, signal);
    if (!line.startsWith("OK")) throw new VsockError("handshake", `expected OK, got ${JSON.stringify(line)}`);
  } catch (error) {
    socket.on("error", () => {});
    socket.destroy();
    throw error;
  }
}

/** The port that a caller asks for with this line. */
export function parseConnect(line: string): number {
  const port = Number(/^CONNECT (\d{1,10})\r?$/.exec(line)?.[1] ?? NaN);
  if (!(port <= 0xffff_ffff))
    throw new VsockError("handshake", `expected CONNECT and a port, got ${JSON.stringify(line)}`);
  return port;
}
