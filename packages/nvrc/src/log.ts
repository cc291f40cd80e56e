import { closeSync, constants, openSync, writeSync } from "node:fs";

/** How much is told, in rising order (section 1.2, `nvrc.log`). A panic is told always. */
export const LOG_LEVELS = ["off", "error", "warn", "info", "debug", "trace"] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/** The kernel's priorities (sys/syslog.h). A panic is above every console level that a kernel command line can set. */
const PRIORITY = { panic: 0, error: 3, warn: 4, info: 6, debug: 7, trace: 7 } as const;
type Kind = keyof typeof PRIORITY;

/** The kernel refuses a longer record (LOG_LINE_MAX less its own prefix). */
export const MAX_KMSG = 900;

const STDERR = 2;

/** Takes one line and its priority; returns when it is out. */
export type LogSink = (priority: number, text: string) => void;

/** Lines for whoever watches the guest. */
export class Log {
  level: LogLevel;
  readonly #sink: LogSink;

  constructor(sink: LogSink, level: LogLevel) {
    this.#sink = sink;
    this.level = level;
  }

  /** The line that says why the guest ends. */
  panic(message: string): void {
    this.#sink(PRIORITY.panic, `NVRC panic: ${message}`);
  }
  error(message: string): void {
    this.#tell("error", message);
  }
  warn(message: string): void {
    this.#tell("warn", message);
  }
  info(message: string): void {
    this.#tell("info", message);
  }
  debug(message: string): void {
    this.#tell("debug", message);
  }
  trace(message: string): void {
    this.#tell("trace", message);
  }

  /** An event of a boot that is traced, which a parameter of its own asks for: at every level. */
  event(text: string): void {
    this.#sink(PRIORITY.info, `NVRC ${text}`);
  }

  /** Whether lines of this kind are told; daemons' output goes where debugging goes. */
  tells(level: LogLevel): boolean {
    return LOG_LEVELS.indexOf(level) <= LOG_LEVELS.indexOf(this.level);
  }

  #tell(kind: Exclude<Kind, "panic">, message: string): void {
    if (this.tells(kind)) this.#sink(PRIORITY[kind], `NVRC ${message}`);
  }
}

/** Standard error, which is the guest's log; written at once, because a power-off waits for nothing. */
export const stderrSink: LogSink = (_priority, text) => {
  writeStderr(`${plain(text)}\n`);
};

/** Best effort: a log that cannot be written ends nobody. */
export function writeStderr(text: string): void {
  try {
    writeSync(STDERR, text);
  } catch {
    // Nobody reads it, or its disk is full.
  }
}

/** The kernel's log: it reaches the console before the power goes, which a buffered line may not. */
export const kmsgSink: LogSink = (priority, text) => {
  try {
    // Opened for each line: the kernel limits the rate of lines by descriptor.
    const fd = openSync("/dev/kmsg", constants.O_WRONLY);
    writeSync(fd, kmsgRecord(priority, text));
    closeSync(fd);
  } catch {
    stderrSink(priority, text);
  }
};

/** One record of the kernel's log: a line, cut to what the kernel takes. */
export function kmsgRecord(priority: number, text: string): Buffer {
  const line = Buffer.from(plain(text));
  return Buffer.concat([Buffer.from(`<${priority}>`), line.subarray(0, MAX_KMSG), Buffer.from("\n")]);
}

/** Without line ends and what a terminal would obey: what daemons and the host put into messages stays text. */
export function plain(text: string): string {
  return text.replaceAll(/[\0-\x1f\x7f-\x9f]+/gu, " ");
}
