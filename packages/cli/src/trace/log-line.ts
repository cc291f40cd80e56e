import { parseTraceEvent, type TraceEvent } from "@nacre/protocols";

/** A longer line of a guest's log holds no event. */
const MAX_LINE_LENGTH = 4096;
/** The kernel's stamp before a line on a console: seconds since its own start, perhaps with the task (printk.caller). */
const KERNEL_STAMP = /^\[ {0,12}(\d{1,9})\.(\d{6})\](?:\[[ \w]{1,12}\])? /u;
/** Where the kernel hands over to the first program of the root file system or of an initramfs. */
const KERNEL_END = /^Run (\/[!-~]{1,100}) as init process$/u;

/** The kernel until it hands over. */
export const KERNEL_START = "kernel.start";

const HUB_LINE = /^\[[-0-9T:.Z]{1,40} INFO ([a-z-]{1,40})\] (.*)$/u;
const INIT_LINE = /^NVRC (.*)$/u;
const HOST_LINE = /^nacre (.*)$/u;

/** Who may tell of whom: a daemon's log tells of that daemon. */
const INIT_SUBJECTS: readonly string[] = ["nvrc"];
export const HOST_SUBJECTS: readonly string[] = ["supervisor", "stage"];

/** What a line of a guest's log tells for a trace. */
export interface LogLine {
  readonly event: TraceEvent;
  /** When the kernel has taken the line, on its console's clock, in microseconds; undefined elsewhere. */
  readonly stamp: number | undefined;
}

/**
 * Reads a line of a guest's log (packages/protocols/TRACE.md); undefined when it tells nothing. What a daemon quotes in
 * the middle of its line is no event, nor is one about somebody else.
 */
export function parseLogLine(line: string): LogLine | undefined {
  if (line.length > MAX_LINE_LENGTH) return undefined;
  const stamped = KERNEL_STAMP.exec(line);
  const stamp = stamped === null ? undefined : Number(stamped[1]) * 1e6 + Number(stamped[2]);
  const text = line.slice(stamped?.[0].length ?? 0).replace(/\r$/u, "");
  const event = kernelEvent(text, stamp) ?? daemonEvent(text);
  return event === undefined ? undefined : { event, stamp };
}

function kernelEvent(text: string, stamp: number | undefined): TraceEvent | undefined {
  const program = stamp === undefined ? undefined : KERNEL_END.exec(text)?.[1];
  if (program === undefined || stamp === undefined) return undefined;
  return { begin: 0, lasted: stamp, name: KERNEL_START, detail: program };
}

function daemonEvent(text: string): TraceEvent | undefined {
  const init = INIT_LINE.exec(text)?.[1];
  if (init !== undefined) return about(INIT_SUBJECTS, init);
  const host = HOST_LINE.exec(text)?.[1];
  if (host !== undefined) return about(HOST_SUBJECTS, host);
  const [, daemon, told] = HUB_LINE.exec(text) ?? [];
  if (daemon !== undefined && told !== undefined) return about([daemon], told);
  // Most of a log is JSON without events: that is told without parsing it.
  if (!text.startsWith('{"msg":"event ')) return undefined;
  try {
    const { msg, name } = JSON.parse(text) as Readonly<Record<string, unknown>>;
    return typeof msg === "string" && typeof name === "string" ? about([name], msg) : undefined;
  } catch {
    return undefined;
  }
}

function about(subjects: readonly string[], text: string): TraceEvent | undefined {
  const event = parseTraceEvent(text);
  return event !== undefined && subjects.includes(subjectOf(event)) ? event : undefined;
}

/** Who an event is about. */
export function subjectOf({ name }: TraceEvent): string {
  return name.slice(0, name.indexOf("."));
}

/** What it was that they did. */
export function stepOf({ name }: TraceEvent): string {
  return name.slice(name.indexOf(".") + 1);
}
