import { LOG_LEVELS, type LogLevel } from "./config.ts";

/** Writes one line; a text of several lines becomes one. */
export type Log = (level: LogLevel, text: string) => void;

/** A log to a stream, from `threshold` up. Texts are cut: image names come from the host. */
export function createLog(threshold: LogLevel, write: (line: string) => void): Log {
  const limit = LOG_LEVELS.indexOf(threshold);
  return (level, text) => {
    if (LOG_LEVELS.indexOf(level) > limit) return;
    const line = text.slice(0, 4096).replaceAll("\n", "\\n");
    write(`[${new Date().toISOString()} ${level.toUpperCase()} confidential-data-hub] ${line}\n`);
  };
}
