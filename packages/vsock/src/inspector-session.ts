import { Session } from "node:inspector";
import type { Socket } from "node:net";

/** A debugger that sends a longer message, or that reads so little that more waits for it, is disconnected. */
const MAX_MESSAGE: number = 64 * 1024 * 1024;
const NEWLINE = 0x0a;

/** A message of the Chrome DevTools protocol that asks for something. */
interface Command {
  readonly id: number;
  readonly method: string;
  readonly params?: object;
}

/**
 * Joins a connection to the main thread's inspector: messages of the Chrome DevTools protocol, one JSON text a line in
 * both directions. `onRun` is called when the debugger is set up and lets the program run.
 */
export function serveInspector(socket: Socket, onRun: () => void): void {
  const session = new Session();
  session.connectToMainThread();
  const send = (message: object): void => {
    socket.write(`${JSON.stringify(message)}\n`);
    if (socket.writableLength > MAX_MESSAGE) socket.destroy();
  };
  session.on("inspectorNotification", send);
  const pending: Buffer[] = [];
  let length = 0;
  socket.on("data", (chunk: Buffer) => {
    let start = 0;
    for (let end = chunk.indexOf(NEWLINE); end >= 0; end = chunk.indexOf(NEWLINE, start)) {
      pending.push(chunk.subarray(start, end));
      const line = Buffer.concat(pending.splice(0)).toString("utf8");
      length = 0;
      start = end + 1;
      obey(line);
    }
    pending.push(chunk.subarray(start));
    length += chunk.length - start;
    if (length > MAX_MESSAGE) socket.destroy();
  });
  socket.on("end", () => socket.end());
  socket.on("error", () => {});
  socket.on("close", () => session.disconnect());

  function obey(line: string): void {
    const command = parseCommand(line);
    if (command === undefined) return void socket.destroy();
    const { id, method, params } = command;
    // What it asks for is the program's to do when this answer is out.
    if (method === "Runtime.runIfWaitingForDebugger") onRun();
    session.post(method, params, (error, result?: object) => {
      send(error === null ? { id, result: result ?? {} } : { id, error: wireError(error) });
    });
  }
}

/** Node puts the inspector's code into the text of its error. */
function wireError({ message }: Error): object {
  const [, code = "-32000", text = message] = /^Inspector error (-?\d+): (.*)$/su.exec(message) ?? [];
  return { code: Number(code), message: text };
}

/** Undefined for what is no command. */
export function parseCommand(line: string): Command | undefined {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    return undefined;
  }
  if (typeof value !== "object" || value === null) return undefined;
  const { id, method, params } = value as Readonly<Record<string, unknown>>;
  if (typeof id !== "number" || !Number.isSafeInteger(id) || typeof method !== "string") return undefined;
  if (params === undefined) return { id, method };
  return typeof params === "object" && params !== null ? { id, method, params } : undefined;
}
