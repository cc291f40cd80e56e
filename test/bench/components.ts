import { readFileSync } from "node:fs";

import { startGuest, timelineOf } from "@nacre/cli";
import { TRACE_PARAMETER } from "@nacre/protocols";

import { changed } from "../fixtures/changed.ts";
import { type BenchRow, median } from "./row.ts";

const ROUNDS = 9;
const COMPONENTS: readonly string[] = ["attestation-agent", "confidential-data-hub", "api-server-rest"];
const BOUND_MS = 400;

/**
 * From the agent's first launch of a guest component to the last of them listening, in simulated guests, by the events that
 * the processes log.
 */
export async function benchComponents(): Promise<BenchRow> {
  const figures: number[] = [];
  for (let round = 0; round < ROUNDS; round++) figures.push(await componentsStart());
  const ours = median(figures);
  return {
    name: "launch of all three guest components to the last listening",
    ours,
    peer: null,
    ratio: null,
    target: `ours <= ${BOUND_MS}`,
    unit: "ms",
    met: ours <= BOUND_MS,
    note: "upstream sleeps two seconds; from the guest's own events",
  };
}

async function componentsStart(): Promise<number> {
  await using guest = await startGuest({ kernelParameters: [TRACE_PARAMETER] });
  const rows = (): ReturnType<typeof timelineOf>["rows"] => timelineOf(readFileSync(guest.logFile, "utf8")).rows;
  const listening = (): readonly number[] =>
    rows().flatMap(({ subject, step, begin }) => (COMPONENTS.includes(subject) && step === "listening" ? [begin] : []));
  await changed(guest.logFile, () => listening().length === COMPONENTS.length);
  const launches = rows().filter(({ subject, step }) => subject === "kata-agent" && step === "launch");
  return Math.max(...listening()) - Math.min(...launches.map(({ begin }) => begin));
}
