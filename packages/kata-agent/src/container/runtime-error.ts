import { internalError, type AgentError } from "../error.ts";

/** Longest text of a runtime that is passed on; a container's names may be in it at any length. */
const MAX_TEXT = 4096;

/** How the runtimes say that the program does not exist in the container; runc first, then crun. */
const NOT_FOUND = [
  /exec: "([^"]*)": executable file not found in \$PATH/,
  /exec: "([^"]*)": stat [^:]*: no such file or directory/,
  /executable file `([^`]*)` not found/,
];

/**
 * A runtime's failure as an error: the last error line of its JSON log. A missing program gets the text that callers
 * know from the real agent.
 */
export function runtimeFailure(verb: string, status: number | string, log: string): AgentError {
  const text = lastError(log);
  for (const pattern of NOT_FOUND) {
    const name = pattern.exec(text)?.[1];
    if (name !== undefined) return internalError(`the file ${name} was not found`);
  }
  const how = typeof status === "number" ? `exit status ${status}` : `signal ${status}`;
  return internalError(`the runtime's ${verb} failed with ${how}`, text === "" ? undefined : text);
}

function lastError(log: string): string {
  let last = "";
  for (const line of log.split("\n")) {
    if (line === "") continue;
    const entry = parseLine(line);
    if (entry !== undefined && (entry.level === "error" || entry.level === "fatal")) last = entry.msg;
  }
  return last.length > MAX_TEXT ? `${last.slice(0, MAX_TEXT)}…` : last;
}

function parseLine(line: string): { level: string; msg: string } | undefined {
  try {
    const { level, msg } = JSON.parse(line) as { level?: unknown; msg?: unknown };
    return typeof level === "string" && typeof msg === "string" ? { level, msg } : undefined;
  } catch {
    return undefined;
  }
}
