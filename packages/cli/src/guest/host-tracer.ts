import { readFileSync, writeSync } from "node:fs";

import { parseKernelCommandLine, Tracer, traceWanted } from "@nacre/protocols";

import type { GuestLayout } from "./layout.ts";

/** What this package writes before events in a guest's log. */
export const HOST_PREFIX = "nacre ";

/** Events of a process that starts a guest, in that guest's log and when the guest's are wanted; one clock is read by all. */
export function hostTracer(subject: string, layout: GuestLayout, logFd: number): Tracer {
  const tracer = new Tracer({
    subject,
    now: () => process.hrtime.bigint(),
    write: (text) => void writeSync(logFd, `${HOST_PREFIX}${text}\n`),
  });
  tracer.decide(traceWanted(parseKernelCommandLine(readFileSync(layout.commandLine, "utf8"))));
  tracer.started(performance.now(), performance.nodeTiming.bootstrapComplete);
  return tracer;
}
