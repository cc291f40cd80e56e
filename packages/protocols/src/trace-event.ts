/**
 * One thing that happened in a guest, or was going on for a while. Times are microseconds of CLOCK_MONOTONIC of the
 * kernel that the process runs on.
 */
export interface TraceEvent {
  readonly begin: number;
  /** Microseconds that it lasted; 0 for a moment. */
  readonly lasted: number;
  /** `SUBJECT.STEP`: who, and what of its doing. Lower-case letters, digits, hyphens. */
  readonly name: string;
  /** Which of several: a component, a method with its container, a layer. Printable ASCII; empty when there is one. */
  readonly detail: string;
}

/** A longer name or detail is cut when it is written and refused when it is read. */
export const MAX_NAME_LENGTH = 64;
export const MAX_DETAIL_LENGTH = 160;
/** Whole seconds that are read: microseconds stay exact in a number, and no kernel runs for 31 years. */
const MAX_SECONDS_DIGITS = 9;

const NAME = `[a-z][a-z0-9-]*\\.[a-z0-9-]+`;
const SECONDS = `(\\d{1,${MAX_SECONDS_DIGITS}})\\.(\\d{6})`;
const EVENT: RegExp = new RegExp(
  `^event ${SECONDS}(?:\\+${SECONDS})? (${NAME})(?: ([ -~]{1,${MAX_DETAIL_LENGTH}}))?$`,
  "u",
);
const OTHER: RegExp = /[^ -~]/gu;

/**
 * An event as the text of a log line (PROTOCOL.md): `event BEGIN[+LASTED] NAME[ DETAIL]`, times in seconds with six
 * decimals. What is not printable ASCII becomes `?`: a detail may come from a host.
 */
export function formatTraceEvent({ begin, lasted, name, detail }: TraceEvent): string {
  const time = lasted === 0 ? seconds(begin) : `${seconds(begin)}+${seconds(lasted)}`;
  const shown = detail.slice(0, MAX_DETAIL_LENGTH).replaceAll(OTHER, "?");
  return `event ${time} ${name.slice(0, MAX_NAME_LENGTH)}${shown === "" ? "" : ` ${shown}`}`;
}

/** Reads what {@link formatTraceEvent} has written; undefined for any other text. */
export function parseTraceEvent(text: string): TraceEvent | undefined {
  const match = EVENT.exec(text);
  if (match === null) return undefined;
  const [, whole = "", micros = "", lastedWhole = "0", lastedMicros = "0", name = "", detail = ""] = match;
  if (name.length > MAX_NAME_LENGTH) return undefined;
  return {
    begin: Number(whole) * 1e6 + Number(micros),
    lasted: Number(lastedWhole) * 1e6 + Number(lastedMicros),
    name,
    detail,
  };
}

function seconds(microseconds: number): string {
  const whole = Math.floor(microseconds / 1e6);
  return `${whole}.${String(microseconds - whole * 1e6).padStart(6, "0")}`;
}
