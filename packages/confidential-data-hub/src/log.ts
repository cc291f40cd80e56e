import { LOG_LEVELS, type LogLevel } from "./config.ts";

/** Characters that end a line for some reader, or steer a terminal; names and errors come from hosts and registries. */
const CONTROL = /[\p{Cc}\u2028\u2029]/gu;

/** Writes one line; a text of several lines becomes one. */
export type Log = (level: LogLevel, text: string) => void;

/** A log to a stream, from `threshold` up. Texts are cut: image names come from the host. */
export function createLog(threshold: LogLevel, write: (line: string) => void): Log {
  const limit = LOG_LEVELS.indexOf(threshold);
  return (level, text) => {
    if (LOG_LEVELS.indexOf(level) > limit) return;
    const line = text.slice(0, 4096).replaceAll("\n", "\\n").replaceAll(CONTROL, escape);
    write(`[${new Date().toISOString()} ${level.toUpperCase()} confidential-data-hub] ${line}\n`);
  };
}

function escape(character: string): string {
  return `\\u${(character.codePointAt(0) ?? 0).toString(16).padStart(4, "0")}`;
}
