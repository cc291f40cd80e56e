import type { TraceEvent } from "@nacre/protocols";

import { HOST_SUBJECTS, KERNEL_START, parseLogLine, stepOf, subjectOf } from "./log-line.ts";
import { onOneClock, POWER_ON } from "./one-clock.ts";

/** Events of one trace; a guest that writes more has its later ones left out. */
export const MAX_EVENTS = 10_000;

/** One event on the trace's own axis, in milliseconds. */
export interface Row {
  readonly subject: string;
  readonly step: string;
  readonly detail: string;
  readonly begin: number;
  /** 0 for a moment. */
  readonly lasted: number;
}

/** What of a boot is waited for, in milliseconds since init, the first code of ours in the guest, began to be started. */
export interface Milestones {
  /** Every component that the agent has started is ready. */
  readonly componentsReady?: number;
  readonly agentListening?: number;
  /** The first call is answered. */
  readonly agentAnswering?: number;
  /** The first container that had an output had it. */
  readonly firstOutput?: number;
  /** Of a virtual machine: from the start of QEMU, firmware and kernel included, until the first call is answered. */
  readonly powerOnToAnswering?: number;
  /** Of a virtual machine: from the kernel's hand-over to the first program until the first call is answered. */
  readonly handOverToAnswering?: number;
}

/** A boot, and what was done with the guest after it. */
export interface Timeline {
  /** By their begin. */
  readonly rows: readonly Row[];
  /** From the first begin to the last end. */
  readonly length: number;
  /** When init began, on the same axis; undefined when the log does not have it. */
  readonly initStart?: number;
  readonly milestones: Milestones;
  /** Events that are left out. */
  readonly dropped: number;
}

/** The events in a guest's log. Of a virtual machine that was begun again, those of the last boot. */
export function readEvents(log: string): {
  readonly events: readonly TraceEvent[];
  readonly dropped: number;
  /** Whether an earlier boot was given up. */
  readonly again: boolean;
} {
  let events: TraceEvent[] = [];
  let dropped = 0;
  let again = false;
  for (const line of log.split("\n")) {
    const parsed = parseLogLine(line);
    if (parsed === undefined) continue;
    // Nothing of ours runs in a guest before its kernel hands over: what is there is of another kernel, and on its clock.
    if (parsed.event.name === KERNEL_START && events.some(isGuests)) {
      events = events.filter((event) => !isGuests(event));
      again = true;
    }
    if (events.length < MAX_EVENTS) events.push(parsed.event);
    else dropped += 1;
  }
  return { events, dropped, again };
}

function isGuests(event: TraceEvent): boolean {
  return !HOST_SUBJECTS.includes(subjectOf(event));
}

/** The timeline of a guest's log. */
export function timelineOf(log: string): Timeline {
  const { events, dropped, again } = readEvents(log);
  // The longer one of two that begin together has the other inside.
  const sorted = onOneClock(events, again).toSorted((a, b) => a.begin - b.begin || b.lasted - a.lasted);
  const zero = sorted[0]?.begin ?? 0;
  const end = Math.max(zero, ...sorted.map(endOf));
  const init = sorted.find(({ name }) => name === "nvrc.node");
  return {
    rows: sorted.map((event) => ({
      subject: subjectOf(event),
      step: stepOf(event),
      detail: event.detail,
      begin: milliseconds(event.begin - zero),
      lasted: milliseconds(event.lasted),
    })),
    length: milliseconds(end - zero),
    ...(init === undefined ? {} : { initStart: milliseconds(init.begin - zero) }),
    milestones: init === undefined ? {} : milestones(sorted, init.begin),
    dropped,
  };
}

function milestones(events: readonly TraceEvent[], initStart: number): Milestones {
  const since = (end: number): number => milliseconds(end - initStart);
  const first = (name: string): TraceEvent | undefined => events.find((event) => event.name === name);
  const listening = first("kata-agent.listening");
  // A component that is started again later is no part of the boot.
  const launches = events.filter(
    ({ name, begin }) => name === "kata-agent.launch" && (listening === undefined || begin < listening.begin),
  );
  const call = events
    .filter(({ name }) => name === "kata-agent.call")
    .toSorted((a, b) => endOf(a) - endOf(b))
    .at(0);
  const output = first("kata-agent.output");
  const powerOn = first(POWER_ON);
  const kernel = first(KERNEL_START);
  return {
    ...(launches.length === 0 ? {} : { componentsReady: since(Math.max(...launches.map(endOf))) }),
    ...(listening === undefined ? {} : { agentListening: since(listening.begin) }),
    ...(call === undefined ? {} : { agentAnswering: since(endOf(call)) }),
    ...(output === undefined ? {} : { firstOutput: since(output.begin) }),
    ...(call === undefined || powerOn === undefined
      ? {}
      : { powerOnToAnswering: milliseconds(endOf(call) - powerOn.begin) }),
    ...(call === undefined || kernel === undefined
      ? {}
      : { handOverToAnswering: milliseconds(endOf(call) - endOf(kernel)) }),
  };
}

function endOf({ begin, lasted }: TraceEvent): number {
  return begin + lasted;
}

function milliseconds(microseconds: number): number {
  return microseconds / 1000;
}
