import { followFile, linesOf } from "../../follow-file.ts";

/**
 * What the kernel's watchdog says of a processor that does nothing else any more. Where each emulated processor is a
 * thread, QEMU 7.2 lets one run for ever over code that another has patched: seen once in some hundred boots, long before
 * a program of ours.
 */
export const SOFT_LOCKUP: RegExp = /watchdog: BUG: soft lockup - CPU/u;
/** Said when the kernel hands over to the first program. Until its watchdog is there nobody tells of a hang. */
export const HANDED_OVER: RegExp = /Run \S+ as init process/u;
/** A bound on hanging: an idle machine needs two seconds from power-on to there. */
const KERNEL_MS = 60_000;

export interface HangOptions {
  /** Length of the console before this boot, in bytes. */
  readonly from: number;
  /** Ends the watch: the guest is up, or given up. */
  readonly signal: AbortSignal;
  /** Longest time to the first program. Default {@link KERNEL_MS}. */
  readonly kernelMs?: number;
}

/** Resolves with the symptom when the emulation has hung, with undefined when the watch ends. */
export async function emulatorHang(console: string, options: HangOptions): Promise<string | undefined> {
  const { from, signal, kernelMs = KERNEL_MS } = options;
  const tooLong = new AbortController();
  const timer = setTimeout(() => tooLong.abort(), kernelMs);
  const lines = linesOf(followFile(console, { from, signal: AbortSignal.any([signal, tooLong.signal]) }));
  try {
    for await (const line of lines) {
      if (SOFT_LOCKUP.test(line)) return "the kernel tells of a soft lockup";
      if (HANDED_OVER.test(line)) clearTimeout(timer);
    }
  } finally {
    clearTimeout(timer);
  }
  if (signal.aborted || !tooLong.signal.aborted) return undefined;
  return `the kernel started nothing within ${kernelMs / 1000} s`;
}
