import { stringifyLossless } from "@nacre/protocols";

/** Log levels, least to most verbose; the names on the wire are upstream's (section 1.1). */
export const LOG_LEVELS = ["critical", "error", "warning", "info", "debug", "trace"] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/** Extra members of a line. Values must be free of secrets: lines leave the guest. */
export type LogFields = Readonly<Record<string, unknown>>;

/** What a component writes its log through. */
export interface Logger {
  log(level: LogLevel, msg: string, fields?: LogFields): void;
  error(msg: string, fields?: LogFields): void;
  warning(msg: string, fields?: LogFields): void;
  info(msg: string, fields?: LogFields): void;
  debug(msg: string, fields?: LogFields): void;
  /** A logger of another subsystem on the same sink. */
  child(subsystem: string): Logger;
}

export interface LogOptions {
  level: LogLevel;
  version: string;
  pid: number;
  subsystem?: string;
  now?: () => Date;
  /** Takes one whole line with its newline. */
  write(line: string): void;
}

/** Lines longer than this are cut: a host that sends long names must not fill the guest's memory with log text. */
export const MAX_FIELD_LENGTH = 4096;

/** JSON lines as the real agent writes them (section 1.1): msg, level, ts, pid, version, name, source, subsystem. */
export function createLogger(options: LogOptions): Logger {
  const threshold = LOG_LEVELS.indexOf(options.level);
  const now = options.now ?? (() => new Date());
  const subsystem = options.subsystem ?? "root";
  const log = (level: LogLevel, msg: string, fields?: LogFields): void => {
    if (LOG_LEVELS.indexOf(level) > threshold) return;
    const line: Record<string, unknown> = {
      msg: cut(msg),
      level: level.toUpperCase(),
      ts: now().toISOString(),
      pid: String(options.pid),
      version: options.version,
      name: "kata-agent",
      source: "agent",
      subsystem,
    };
    for (const [key, value] of Object.entries(fields ?? {})) {
      if (!(key in line)) line[key] = typeof value === "string" ? cut(value) : value;
    }
    options.write(`${stringifyLossless(line).replaceAll(CONTROL, escape)}\n`);
  };
  return {
    log,
    error: (msg, fields) => log("error", msg, fields),
    warning: (msg, fields) => log("warning", msg, fields),
    info: (msg, fields) => log("info", msg, fields),
    debug: (msg, fields) => log("debug", msg, fields),
    child: (name) => createLogger({ ...options, subsystem: name }),
  };
}

/** JSON leaves these as they are, but some readers end a line there, and terminals take the first 32 for commands. */
const CONTROL = /[\u007f-\u009f\u2028\u2029]/gu;

function escape(character: string): string {
  return `\\u${(character.codePointAt(0) ?? 0).toString(16).padStart(4, "0")}`;
}

function cut(text: string): string {
  return text.length <= MAX_FIELD_LENGTH ? text : `${text.slice(0, MAX_FIELD_LENGTH)}…`;
}
