import type { Arch } from "../arch.ts";
import { type VerityParams, verityRootParams } from "./verity.ts";

const CONSOLE: Readonly<Record<Arch, string>> = { x64: "ttyS0", arm64: "ttyAMA0" };

/** What Kata's runtime gives its x86 guests too, as far as Debian's kernel knows it and a boot gains from it. */
const X86: readonly string[] = ["tsc=reliable", "no_timer_check", "reboot=k"];

/**
 * The parameters of a boot, before those that the host appends for the agent: with a root on a disk those that open it;
 * `more` are the baker's.
 */
export function kernelCommandLine(arch: Arch, root: VerityParams | undefined, more: readonly string[]): string {
  return [
    `console=${CONSOLE[arch]}`,
    // A panic ends the machine: a guest that cannot go on is never left standing.
    "panic=1",
    // A seed that firmware or hypervisor hand over is the host's: it may be mixed in, but counts for nothing.
    "random.trust_bootloader=off",
    "rcupdate.rcu_expedited=1",
    "cryptomgr.notests",
    "net.ifnames=0",
    ...(arch === "x64" ? X86 : []),
    ...more,
    ...(root === undefined ? [] : [verityRootParams(root)]),
  ].join(" ");
}
