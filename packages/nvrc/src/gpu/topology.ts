import { closeSync, openSync, readdirSync, readFileSync, readSync } from "node:fs";
import { join } from "node:path";

import { hasCode } from "@nacre/kata-sys-util";

import { NvrcError } from "../error.ts";

/** What decides the mode: three counts of PCI functions (section 1.4). */
export interface Topology {
  readonly switches: number;
  readonly gpus: number;
  /** Bridges to the switches of NVLink 5, by their vital product data: so no InfiniBand driver is needed to tell. */
  readonly switchManagers: number;
}

const NVIDIA = "0x10de";
const MELLANOX = "0x15b3";
const NVSWITCH_CLASS = "0x0680";
const DISPLAY_CLASS = "0x03";
const SWITCH_MANAGEMENT = Buffer.from("SW_MNG");
/** PCI's own limit of vital product data; the device, which the host presents, says how long it is. */
export const MAX_VPD = 32_768;

/** Counts the devices below `sysfs`. A guest without a PCI bus has none. */
export function readTopology(sysfs: string): Topology {
  const folder = join(sysfs, "bus/pci/devices");
  const devices = functions(folder).map((name) => {
    const at = join(folder, name);
    const vendor = attribute(join(at, "vendor"));
    const isManager = vendor === MELLANOX && hasSwitchManagement(readVpd(join(at, "vpd")));
    return { vendor, class: attribute(join(at, "class")), isManager };
  });
  const ofNvidia = (prefix: string): number =>
    devices.filter((device) => device.vendor === NVIDIA && device.class.startsWith(prefix)).length;
  return {
    switches: ofNvidia(NVSWITCH_CLASS),
    gpus: ofNvidia(DISPLAY_CLASS),
    switchManagers: devices.filter(({ isManager }) => isManager).length,
  };
}

/** Whether vital product data name the device a switch manager; the text may stand in any field. */
export function hasSwitchManagement(vpd: Buffer): boolean {
  return vpd.subarray(0, MAX_VPD).includes(SWITCH_MANAGEMENT);
}

function functions(folder: string): readonly string[] {
  try {
    return readdirSync(folder).sort();
  } catch (error) {
    if (hasCode(error, "ENOENT")) return [];
    throw new NvrcError("topology", `read ${folder}`, { cause: error });
  }
}

function attribute(path: string): string {
  try {
    return readFileSync(path, "latin1").trim();
  } catch (cause) {
    throw new NvrcError("topology", `read ${path}`, { cause });
  }
}

/** Empty where the device has none or does not answer. */
function readVpd(path: string): Buffer {
  try {
    const fd = openSync(path, "r");
    try {
      const bytes = Buffer.alloc(MAX_VPD);
      return bytes.subarray(0, readSync(fd, bytes));
    } finally {
      closeSync(fd);
    }
  } catch {
    return Buffer.alloc(0);
  }
}
