import type { Arch } from "../arch.ts";
import type { Flavour } from "../flavour.ts";
import { type VerityParams, verityRootParams } from "./verity.ts";

const CONSOLE: Readonly<Record<Arch, string>> = { x64: "ttyS0", arm64: "ttyAMA0" };

/** What Kata's runtime gives its x86 guests too, as far as Debian's kernel knows it and a boot gains from it. */
const X86: readonly string[] = ["no_timer_check", "reboot=k"];
/** Kata's, too; and what an emulated processor's counter is, by which a kernel may take the time ten times too fast. */
const COUNTER = { trusted: "tsc=reliable", emulated: "tsc=unstable" } as const;

/** The agent's own limit for the start of a component, six seconds, is for a processor. */
const PATIENCE = "agent.launch_process_timeout=60";

/** Whose command line it is. */
export interface BootedImage {
  readonly arch: Arch;
  readonly flavour: Flavour;
  /** None where the initramfs is the root. */
  readonly root: VerityParams | undefined;
}

/**
 * The parameters of a boot, before those that the host appends for the agent: with a root on a disk those that open it;
 * `more` are the baker's.
 */
export function kernelCommandLine({ arch, flavour, root }: BootedImage, more: readonly string[]): string {
  // Developers have emulated processors, and a host has no say in the command line of a unified image.
  const emulated = flavour === "devkit";
  return [
    `console=${CONSOLE[arch]}`,
    // A panic ends the machine: a guest that cannot go on is never left standing.
    "panic=1",
    // A seed that firmware or hypervisor hand over is the host's: it may be mixed in, but counts for nothing.
    "random.trust_bootloader=off",
    "rcupdate.rcu_expedited=1",
    "cryptomgr.notests",
    "net.ifnames=0",
    ...(arch === "x64" ? [COUNTER[emulated ? "emulated" : "trusted"], ...X86] : []),
    ...(emulated ? [PATIENCE] : []),
    ...more,
    ...(root === undefined ? [] : [verityRootParams(root)]),
  ].join(" ");
}
