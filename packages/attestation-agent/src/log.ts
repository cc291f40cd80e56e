export const LOG_LEVELS = ["error", "warn", "info", "debug", "trace"] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/** Characters that end a line for some reader, or steer a terminal; errors quote brokers and hosts. */
const CONTROL = /[\p{Cc}\u2028\u2029]/gu;

/** Writes one line; a text of several lines becomes one. */
export type Log = (level: LogLevel, text: string) => void;

/** A log from `threshold` up. */
export function createLog(threshold: LogLevel, write: (line: string) => void): Log {
  const limit = LOG_LEVELS.indexOf(threshold);
  return (level, text) => {
    if (LOG_LEVELS.indexOf(level) > limit) return;
    const line = text.slice(0, 4096).replaceAll("\n", "\\n").replaceAll(CONTROL, escape);
    write(`[${new Date().toISOString()} ${level.toUpperCase()} attestation-agent] ${line}\n`);
  };
}

/** `RUST_LOG` counts before the configuration; of a filter by modules, the part without one. */
export function logLevel(rustLog: string | undefined, configured: LogLevel): LogLevel {
  const words = rustLog?.toLowerCase().split(",") ?? [];
  return LOG_LEVELS.find((level) => words.includes(level)) ?? configured;
}

function escape(character: string): string {
  return `\\u${(character.codePointAt(0) ?? 0).toString(16).padStart(4, "0")}`;
}
