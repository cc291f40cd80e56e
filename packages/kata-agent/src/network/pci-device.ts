import type { PciPath } from "./pci-path.ts";

/** What is read of sysfs. `list` throws Node's file errors. */
export interface SysfsPorts {
  list(path: string): readonly string[];
  /** The target of a link, or undefined where there is none. */
  link(path: string): string | undefined;
  exists(path: string): boolean;
}

const SYSFS = "/sys";
/** Where a PCI root is on arm64 unless ACPI describes the machine. */
const ARM64_ROOT = "/devices/platform/4010000000.pcie/pci0000:";
const ROOT = "/devices/pci0000:";
const ADDRESS = /^([0-9a-f]{4}:[0-9a-f]{2}):[0-9a-f]{2}\.[0-7]$/;

/**
 * The device's path below /sys: each bridge says which bus it leads to. Throws Error in the real agent's words where a
 * bridge is not there.
 */
export function pciDevicePath({ root, slots }: PciPath, ports: SysfsPorts, arch: string = process.arch): string {
  const acpi = ROOT + root;
  const start = arch === "arm64" && !ports.exists(SYSFS + acpi) ? ARM64_ROOT + root : acpi;
  let path = start;
  let bus = "0000:00";
  for (const [index, slot] of slots.entries()) {
    path += `/${bus}:${slot}`;
    if (index === slots.length - 1) break;
    try {
      bus = nextBus(SYSFS + path, ports);
    } catch (cause) {
      const where = `element ${index} (device ${bus}:${slot}) under root ${SYSFS}${start}`;
      throw new Error(`failed to resolve next bus for PCI path ${where}`, { cause });
    }
  }
  return path;
}

function nextBus(bridge: string, ports: SysfsPorts): string {
  const buses = `${bridge}/pci_bus`;
  if (ports.exists(buses)) {
    const names = ports.list(buses);
    const [name] = names;
    if (name !== undefined && names.length === 1) return name;
    throw new Error(`failed to read downstream bus from ${JSON.stringify(bridge)}`, {
      cause: new Error(`expected exactly one PCI bus in ${JSON.stringify(buses)}, got ${names.length}`),
    });
  }
  try {
    return busOfChildren(ports.list(bridge));
  } catch (cause) {
    const text = `bridge ${JSON.stringify(bridge)} has no pci_bus directory; fallback to child device scan failed`;
    throw new Error(text, { cause });
  }
}

function busOfChildren(names: readonly string[]): string {
  const buses = new Set(names.flatMap((name) => ADDRESS.exec(name)?.[1] ?? []));
  const [bus] = buses;
  if (bus === undefined) throw new Error("no downstream PCI devices found");
  if (buses.size > 1) throw new Error(`multiple downstream buses found: ${JSON.stringify([...buses])}`);
  return bus;
}
