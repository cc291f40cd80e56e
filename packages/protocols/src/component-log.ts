/** Levels of the components' configuration and of `RUST_LOG`, from the fewest lines to all. */
export const LOG_LEVELS = ["error", "warn", "info", "debug", "trace"] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/** Characters that end a line for some reader, or steer a terminal; names and errors come from hosts and brokers. */
const CONTROL = /[\p{Cc}\u2028\u2029]/gu;
const MAX_TEXT = 4096;

/** Writes one line; a text of several lines becomes one. */
export type ComponentLog = (level: LogLevel, text: string) => void;

/** The log of a component that the agent starts, from `threshold` up. Texts are cut: the host chooses parts of them. */
export function componentLog(name: string, threshold: LogLevel, write: (line: string) => void): ComponentLog {
  const limit = LOG_LEVELS.indexOf(threshold);
  return (level, text) => {
    if (LOG_LEVELS.indexOf(level) > limit) return;
    const line = text.slice(0, MAX_TEXT).replaceAll("\n", "\\n").replaceAll(CONTROL, escape);
    write(`[${new Date().toISOString()} ${level.toUpperCase()} ${name}] ${line}\n`);
  };
}

function escape(character: string): string {
  return `\\u${(character.codePointAt(0) ?? 0).toString(16).padStart(4, "0")}`;
}
