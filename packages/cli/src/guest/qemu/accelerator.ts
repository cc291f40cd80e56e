import { readFileSync } from "node:fs";

import type { Accelerator } from "../plan.ts";
import { runTool } from "../tool.ts";

/** What is looked at, as a port. */
export interface KvmProbes {
  /** Text of /proc/cpuinfo. */
  cpuinfo(): string;
  /** Whether a virtual machine can be made, by trying. */
  tryMachine(): Promise<boolean>;
}

/**
 * KVM where it works, else emulation. A machine without the processor's own support may have /dev/kvm all the same
 * (paravirtual KVM, in some clouds): it makes virtual machines, and a stock kernel stops in them without a word.
 */
export async function chooseAccelerator(probes: KvmProbes): Promise<Accelerator> {
  if (!hasVirtualisation(probes.cpuinfo())) return "tcg";
  return (await probes.tryMachine()) ? "kvm" : "tcg";
}

/** Whether the processor says that it runs virtual machines; on arm64 nothing there says so. */
export function hasVirtualisation(cpuinfo: string): boolean {
  return process.arch !== "x64" || /^flags\s*:.*\b(?:vmx|svm)\b/mu.test(cpuinfo);
}

/** This machine; `qemu` is the program that would use it. */
export function systemKvmProbes(qemu: string): KvmProbes {
  return {
    cpuinfo: () => readFileSync("/proc/cpuinfo", "latin1"),
    async tryMachine() {
      // An empty machine: opening /dev/kvm and making a virtual machine is all that happens.
      const argv = [qemu, "-accel", "kvm", "-machine", "none", "-nodefaults", "-no-user-config", "-display", "none"];
      try {
        await runTool([...argv, "-qmp", "stdio"], '{"execute":"qmp_capabilities"}\n{"execute":"quit"}\n');
        return true;
      } catch {
        return false;
      }
    },
  };
}
