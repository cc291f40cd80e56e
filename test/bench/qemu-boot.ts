import { recordTrace, startGuest, timelineOf } from "@nacre/cli";
import { TRACE_PARAMETER } from "@nacre/protocols";

import { QEMU } from "../fixtures/guest-kind.ts";
import { missing } from "./containers.ts";
import { type BenchRow, median } from "./row.ts";

const ROUNDS = 5;

/** Boots of the devkit image under emulation: two processors, the kernel started directly, from QEMU's start on. */
export async function benchQemuBoot(): Promise<BenchRow[]> {
  const whole: number[] = [];
  const ours: number[] = [];
  const ready: number[] = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    await using guest = await startGuest({ ...QEMU, kernelParameters: [TRACE_PARAMETER] });
    const { log } = await recordTrace(guest, { output: () => {} }, new AbortController().signal);
    const { powerOnToAnswering = NaN, handOverToAnswering = NaN, componentsReady = NaN } = timelineOf(log).milestones;
    whole.push(powerOnToAnswering);
    ours.push(handOverToAnswering);
    ready.push(componentsReady);
  }
  const note = "TCG, 2 processors, 2 GiB; from the guest's own events";
  return [
    missing("QEMU guest: power-on to agent answering", median(whole), 8000, "ms", note),
    missing("QEMU guest: kernel's hand-over to agent answering", median(ours), 5000, "ms", note),
    { ...missing("QEMU guest: init start to components ready", median(ready), 0, "ms", note), target: "-", met: null },
  ];
}
