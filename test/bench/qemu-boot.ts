import { recordTrace, startGuest, type StartGuestOptions, timelineOf } from "@nacre/cli";
import { TRACE_PARAMETER } from "@nacre/protocols";

import { QEMU } from "../fixtures/guest-kind.ts";
import { missing } from "./containers.ts";
import { type BenchRow, median } from "./row.ts";

const ROUNDS = 5;

/** Milliseconds of some boots of the devkit image under emulation with two processors, from QEMU's start on. */
interface Boots {
  readonly whole: readonly number[];
  /** From the kernel's hand-over. */
  readonly ours: readonly number[];
  readonly ready: readonly number[];
}

async function boots(options: StartGuestOptions): Promise<Boots> {
  const [whole, ours, ready]: [number[], number[], number[]] = [[], [], []];
  for (let round = 0; round < ROUNDS; round += 1) {
    await using guest = await startGuest({ ...QEMU, ...options, kernelParameters: [TRACE_PARAMETER] });
    const { log } = await recordTrace(guest, { output: () => {} }, new AbortController().signal);
    const { powerOnToAnswering = NaN, handOverToAnswering = NaN, componentsReady = NaN } = timelineOf(log).milestones;
    whole.push(powerOnToAnswering);
    ours.push(handOverToAnswering);
    ready.push(componentsReady);
  }
  return { whole, ours, ready };
}

/** The kernel started directly, and by firmware that measures it. */
export async function benchQemuBoot(): Promise<BenchRow[]> {
  const direct = await boots({});
  const measured = await boots({ ovmf: true });
  const note = "TCG, 2 processors, 2 GiB; from the guest's own events";
  const reported = (name: string, values: readonly number[]): BenchRow => ({
    ...missing(name, median([...values]), 0, "ms", note),
    target: "-",
    met: null,
  });
  return [
    missing("QEMU guest: power-on to agent answering", median([...direct.whole]), 8000, "ms", note),
    missing("QEMU guest: kernel's hand-over to agent answering", median([...direct.ours]), 5000, "ms", note),
    reported("QEMU guest: init start to components ready", direct.ready),
    reported("QEMU guest by OVMF, with a TPM: power-on to agent answering", measured.whole),
    reported("QEMU guest by OVMF, with a TPM: kernel's hand-over to agent answering", measured.ours),
  ];
}
