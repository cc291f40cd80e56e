import { recordTrace, startGuest, timelineOf } from "@nacre/cli";
import { TRACE_PARAMETER } from "@nacre/protocols";
import { missing } from "./containers.ts";
import { type BenchRow, median } from "./row.ts";

const ROUNDS = 15;

/** Boots of the simulated guest, by the events that its own processes log. */
export async function benchSimulatedBoot(): Promise<BenchRow[]> {
  const ready: number[] = [];
  const answering: number[] = [];
  const whole: number[] = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    const begin = performance.now();
    await using guest = await startGuest({ kernelParameters: [TRACE_PARAMETER] });
    whole.push(performance.now() - begin);
    const { log } = await recordTrace(guest, { output: () => {} }, new AbortController().signal);
    const { componentsReady = NaN, agentAnswering = NaN } = timelineOf(log).milestones;
    ready.push(componentsReady);
    answering.push(agentAnswering);
  }
  const note = "from the guest's own events; the Rust agent with AA and CDH took a recorded 2,013 ms from its exec";
  return [
    missing("simulated guest: init start to components ready", median(ready), 600, "ms", note),
    missing("simulated guest: init start to agent answering", median(answering), 900, "ms", note),
    { ...missing("simulated guest: startGuest()", median(whole), 0, "ms", "from source"), target: "-", met: null },
  ];
}
