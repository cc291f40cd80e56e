import type { KernelCommandLine } from "./kernel-command-line.ts";
import { formatTraceEvent } from "./trace-event.ts";

/** The kernel parameter that has the daemons write events into their logs. It reveals times, and names that hosts know. */
export const TRACE_PARAMETER = "nacre.trace";

/** Events kept before it is known whether anybody wants them: those of an init that has no /proc yet. */
const MAX_PENDING = 64;

/** Whether a kernel command line asks for events. */
export function traceWanted(commandLine: KernelCommandLine): boolean {
  return commandLine.has(TRACE_PARAMETER);
}

export interface TracerOptions {
  /** Whose events they are: the first part of each name. */
  readonly subject: string;
  /** CLOCK_MONOTONIC in nanoseconds; `process.hrtime.bigint` in Node. */
  readonly now: () => bigint;
  /** Takes the text of one log line, without a newline. */
  readonly write: (text: string) => void;
}

/**
 * Notes what a daemon does and when. Until {@link decide} a few events are kept, then they are written, or nothing is
 * done any more but to call what is measured.
 */
export class Tracer {
  readonly #options: TracerOptions;
  #state: "undecided" | "on" | "off" = "undecided";
  #pending: string[] = [];
  readonly #created: number;
  #stepBegin: number;

  constructor(options: TracerOptions) {
    this.#options = options;
    this.#created = this.#now();
    this.#stepBegin = this.#created;
  }

  /** Whether events are written. */
  get on(): boolean {
    return this.#state === "on";
  }

  /** Whether events are wanted. Those from before are written now, or forgotten. */
  decide(wanted: boolean): void {
    this.#state = wanted ? "on" : "off";
    const pending = this.#pending;
    this.#pending = [];
    if (wanted) for (const text of pending) this.#options.write(text);
  }

  /** A moment. */
  mark(step: string, detail = ""): void {
    if (this.#state === "off") return;
    this.#note(step, detail, this.#now(), 0);
  }

  /**
   * What came before this tracer, the first thing that a program makes: `node`, what the interpreter took before it read
   * the program, and `load`, the program until here. Both from `performance`, in milliseconds since the process began;
   * `duration` is of now, which may be later.
   */
  started(duration: number, bootstrap: number): void {
    if (this.#state === "off") return;
    const begin = Math.max(0, this.#now() - Math.round(duration * 1000));
    const loaded = Math.min(this.#created, begin + Math.round(bootstrap * 1000));
    this.#note("node", "", begin, loaded - begin);
    this.#note("load", "", loaded, this.#created - loaded);
  }

  /** What begins now and ends with the call of what is returned, which may be left out: then it has no event. */
  begin(step: string, detail = ""): () => void {
    if (this.#state === "off") return NOTHING;
    const begin = this.#now();
    return () => this.#note(step, detail, begin, this.#now() - begin);
  }

  /** Runs some work as one event, also when it fails. */
  async span<T>(step: string, detail: string, work: () => Promise<T>): Promise<T> {
    if (this.#state === "off") return await work();
    const end = this.begin(step, detail);
    try {
      return await work();
    } finally {
      end();
    }
  }

  /**
   * One of several steps that follow each other: it began with the end of the step before it, or with the tracer, and
   * ends with the given promise. `await tracer.step("mounts", mountAll())` keeps a boot order a list of calls.
   */
  async step<T>(step: string, work: T | Promise<T>): Promise<T> {
    const result = await work;
    if (this.#state === "off") return result;
    const now = this.#now();
    this.#note(step, "", this.#stepBegin, now - this.#stepBegin);
    this.#stepBegin = now;
    return result;
  }

  #note(step: string, detail: string, begin: number, lasted: number): void {
    // Decided between its begin and its end.
    if (this.#state === "off") return;
    const text = formatTraceEvent({ begin, lasted, name: `${this.#options.subject}.${step}`, detail });
    if (this.#state === "on") this.#options.write(text);
    else if (this.#pending.length < MAX_PENDING) this.#pending.push(text);
  }

  #now(): number {
    return Number(this.#options.now() / 1000n);
  }
}

const NOTHING = (): void => {};
