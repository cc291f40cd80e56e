import { describe, expect, it } from "vitest";

import { chooseAccelerator } from "../../../src/guest/qemu/accelerator.ts";

describe("the accelerator", () => {
  it("is KVM where the processor has it and a machine can be made", async () => {
    const cpuinfo = (): string => "processor\t: 0\nflags\t\t: fpu vme svm npt\n";
    expect(await chooseAccelerator({ cpuinfo, tryMachine: async () => await Promise.resolve(true) })).toBe("kvm");
    expect(await chooseAccelerator({ cpuinfo, tryMachine: async () => await Promise.resolve(false) })).toBe("tcg");
  });

  it("is emulation where /dev/kvm makes machines that the processor does not support", async () => {
    let tried = 0;
    const tryMachine = async (): Promise<boolean> => {
      tried += 1;
      return await Promise.resolve(true);
    };
    const cpuinfo = (): string => "flags\t\t: fpu vme hypervisor svmfoo\n";
    expect(await chooseAccelerator({ cpuinfo, tryMachine })).toBe(process.arch === "x64" ? "tcg" : "kvm");
    expect(tried).toBe(process.arch === "x64" ? 0 : 1);
  });
});
