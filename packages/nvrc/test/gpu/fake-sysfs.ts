import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** One PCI function as the kernel describes it. */
export interface FakeFunction {
  readonly vendor: string;
  readonly class: string;
  readonly vpd?: Buffer | string;
}

export const GPU: FakeFunction = { vendor: "0x10de", class: "0x030200" };
export const NVSWITCH: FakeFunction = { vendor: "0x10de", class: "0x068000" };
export const SWITCH_MANAGER: FakeFunction = {
  vendor: "0x15b3",
  class: "0x020700",
  vpd: Buffer.from("\x82\x10\x00Bridge\x90\x20\x00SMDL\x06SW_MNG\x78", "latin1"),
};
/** What every virtual machine has. */
export const VIRTIO_DISK: FakeFunction = { vendor: "0x1af4", class: "0x010000" };

/** Plugs functions in below `sysfs`. */
export function plugIn(sysfs: string, functions: readonly FakeFunction[]): void {
  for (const [index, { vendor, class: code, vpd }] of functions.entries()) {
    const folder = join(sysfs, "bus/pci/devices", `0000:00:${index.toString(16).padStart(2, "0")}.0`);
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, "vendor"), `${vendor}\n`);
    writeFileSync(join(folder, "class"), `${code}\n`);
    if (vpd !== undefined) writeFileSync(join(folder, "vpd"), vpd);
  }
}

/** An InfiniBand device with one port. */
export function plugInPort(sysfs: string, name: string, capabilityMask: string, gid: string): void {
  const port = join(sysfs, "class/infiniband", name, "ports/1");
  mkdirSync(join(port, "gids"), { recursive: true });
  writeFileSync(join(port, "cap_mask"), `${capabilityMask}\n`);
  writeFileSync(join(port, "gids/0"), `${gid}\n`);
}

export const times = (count: number, one: FakeFunction): readonly FakeFunction[] =>
  Array.from({ length: count }, () => one);
