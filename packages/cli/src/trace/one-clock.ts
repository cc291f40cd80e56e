import type { TraceEvent } from "@nacre/protocols";

import { HOST_SUBJECTS, KERNEL_START, subjectOf } from "./log-line.ts";

/** From QEMU's start to the kernel's. */
export const POWER_ON = "qemu.firmware";
/** In its place: from the start of the first machine to the kernel of the one that was begun after it. */
const GIVEN_UP = "qemu.given-up";
/** What the supervisor waits for: it ends with the answer to the first call. */
const WAITED = "supervisor.guest";
const FIRST_CALL = "kata-agent.call";

/**
 * The events on the guest's clock. A virtual machine has a kernel, and so a clock, of its own: the host's events are moved
 * so that the answer to the first call arrives when it was given, and left out where the log lacks one of the two. What
 * nobody tells of, firmware and the programs of the initramfs, is what lies between its neighbours. `again`: an earlier
 * boot was given up.
 */
export function onOneClock(events: readonly TraceEvent[], again = false): readonly TraceEvent[] {
  const kernel = events.find(({ name }) => name === KERNEL_START);
  if (kernel === undefined) return events;
  const guest = events.filter((event) => !HOST_SUBJECTS.includes(subjectOf(event)));
  const init = guest.find(({ name }) => name === "nvrc.node");
  const kernelEnd = kernel.begin + kernel.lasted;
  const initramfs =
    init === undefined || init.begin < kernelEnd
      ? []
      : [{ begin: kernelEnd, lasted: init.begin - kernelEnd, name: "initramfs.root", detail: "" }];
  return [...guest, ...initramfs, ...hostEvents(events, kernel, again)];
}

function hostEvents(events: readonly TraceEvent[], kernel: TraceEvent, again: boolean): readonly TraceEvent[] {
  const waited = events.find(({ name }) => name === WAITED);
  const calls = events.filter(({ name }) => name === FIRST_CALL).map(({ begin, lasted }) => begin + lasted);
  if (waited === undefined || calls.length === 0) return [];
  const shift = Math.min(...calls) - (waited.begin + waited.lasted);
  const host = events
    .filter((event) => HOST_SUBJECTS.includes(subjectOf(event)))
    .map((event) => ({ ...event, begin: event.begin + shift }));
  const powerOn = waited.begin + shift;
  // The kernel's clock starts a little before its first line; a firmware that took no time is none.
  if (powerOn >= kernel.begin) return host;
  return [...host, { begin: powerOn, lasted: kernel.begin - powerOn, name: again ? GIVEN_UP : POWER_ON, detail: "" }];
}
