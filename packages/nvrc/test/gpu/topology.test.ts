import { mkdirSync, mkdtempDisposableSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { describe, expect, it } from "vitest";

import { modeOf } from "../../src/gpu/mode.ts";
import { hasSwitchManagement, MAX_VPD, readTopology } from "../../src/gpu/topology.ts";
import { Random } from "../random.ts";
import { type FakeFunction, GPU, NVSWITCH, plugIn, SWITCH_MANAGER, times, VIRTIO_DISK } from "./fake-sysfs.ts";

function counts(...functions: readonly FakeFunction[]): readonly number[] {
  using sysfs = mkdtempDisposableSync(join(tmpdir(), "sysfs-"));
  plugIn(sysfs.path, functions);
  const { switches, gpus, switchManagers } = readTopology(sysfs.path);
  return [switches, gpus, switchManagers];
}

describe("readTopology", () => {
  it("counts by vendor and class", () => {
    expect(counts()).toEqual([0, 0, 0]);
    expect(counts(VIRTIO_DISK, GPU, { ...GPU, class: "0x030000" }, NVSWITCH, SWITCH_MANAGER)).toEqual([1, 2, 1]);
  });

  it.each([
    ["another vendor's GPU", { vendor: "0x1002", class: "0x030000" }],
    ["NVIDIA's sound function", { vendor: "0x10de", class: "0x040300" }],
    ["NVIDIA's PCI bridge", { vendor: "0x10de", class: "0x060400" }],
    ["a network card of the switch managers' vendor", { vendor: "0x15b3", class: "0x020000", vpd: "SMDL" }],
    ["such a card without product data", { vendor: "0x15b3", class: "0x020000" }],
    ["another vendor's card of that name", { ...SWITCH_MANAGER, vendor: "0x8086" }],
  ])("passes over %s", (_, one) => {
    expect(counts(one)).toEqual([0, 0, 0]);
  });

  it("has none where there is no PCI bus", () => {
    expect(readTopology("/no/such/sysfs")).toEqual({ switches: 0, gpus: 0, switchManagers: 0 });
  });

  it("names a device that says nothing of itself", () => {
    using sysfs = mkdtempDisposableSync(join(tmpdir(), "sysfs-"));
    mkdirSync(join(sysfs.path, "bus/pci/devices/0000:00:01.0"), { recursive: true });
    expect(() => readTopology(sysfs.path)).toThrow(/read .*0000:00:01\.0\/vendor/u);
  });

  it("takes product data that cannot be read for none", () => {
    using sysfs = mkdtempDisposableSync(join(tmpdir(), "sysfs-"));
    plugIn(sysfs.path, [{ vendor: "0x15b3", class: "0x020700" }]);
    mkdirSync(join(sysfs.path, "bus/pci/devices/0000:00:00.0/vpd"));
    expect(readTopology(sysfs.path).switchManagers).toBe(0);
  });
});

describe("hasSwitchManagement", () => {
  it("finds the text in any bytes, and nowhere else, and looks no further than product data go", () => {
    const random = new Random(15);
    for (let round = 0; round < 5000; round++) {
      const [before, after] = [random.bytes(random.below(60)), random.bytes(random.below(60))];
      expect(hasSwitchManagement(Buffer.concat([before, after]))).toBe(false);
      expect(hasSwitchManagement(Buffer.concat([before, Buffer.from("SW_MNG"), after]))).toBe(true);
    }
    expect(hasSwitchManagement(Buffer.concat([Buffer.alloc(MAX_VPD), Buffer.from("SW_MNG")]))).toBe(false);
  });

  it("is read no further from a device that never ends", () => {
    using sysfs = mkdtempDisposableSync(join(tmpdir(), "sysfs-"));
    plugIn(sysfs.path, [{ vendor: "0x15b3", class: "0x020700", vpd: Buffer.alloc(4 * MAX_VPD) }]);
    writeFileSync(join(sysfs.path, "bus/pci/devices/0000:00:00.0/vpd"), Buffer.alloc(MAX_VPD).toString() + "SW_MNG");
    expect(readTopology(sysfs.path).switchManagers).toBe(0);
  });
});

describe("modeOf", () => {
  const mode = (switches: number, gpus: number, switchManagers: number): unknown =>
    modeOf({ switches, gpus, switchManagers });

  it("is the table of the specification", () => {
    expect(mode(0, 0, 0)).toEqual({ name: "cpu" });
    expect(mode(0, 1, 0)).toEqual({ name: "gpu", gpus: 1 });
    expect(mode(0, 16, 0)).toEqual({ name: "gpu", gpus: 16 });
    expect(mode(4, 8, 0)).toEqual({ name: "nvl4", gpus: 8, fabric: 0 });
    expect(mode(4, 0, 0)).toEqual({ name: "servicevm-nvl4", gpus: 0, fabric: 1 });
    expect(mode(0, 8, 4)).toEqual({ name: "nvl5", gpus: 8, fabric: 0 });
    expect(mode(0, 0, 4)).toEqual({ name: "servicevm-nvl5", gpus: 0, fabric: 1 });
  });

  it("refuses every other topology, and says which it is", () => {
    const known = new Set(["4 8 0", "4 0 0", "0 8 4", "0 0 4"]);
    for (let switches = 0; switches <= 5; switches++) {
      for (let gpus = 0; gpus <= 9; gpus++) {
        for (let managers = 0; managers <= 5; managers++) {
          const name = `${switches} ${gpus} ${managers}`;
          if (known.has(name) || (switches === 0 && managers === 0)) continue;
          expect(() => mode(switches, gpus, managers)).toThrow(
            `mode: expected a known topology, got ${switches} NVSWITCH, ${gpus} GPU, ${managers} PCI_SW_MNG`,
          );
        }
      }
    }
  });

  it("is found for what is plugged in", () => {
    using sysfs = mkdtempDisposableSync(join(tmpdir(), "sysfs-"));
    plugIn(sysfs.path, [VIRTIO_DISK, ...times(8, GPU), ...times(4, NVSWITCH)]);
    expect(modeOf(readTopology(sysfs.path)).name).toBe("nvl4");
  });
});
