import { describe, expect, it } from "vitest";

import { pciDevicePath, type SysfsPorts } from "../../src/network/pci-device.ts";
import { interfaceOf, isInterface } from "../../src/network/pci-interface.ts";

/** A sysfs of folders and links. */
function sysfs(
  folders: Readonly<Record<string, readonly string[]>>,
  links: Readonly<Record<string, string>> = {},
): SysfsPorts {
  return {
    list: (path) => {
      const names = folders[path];
      if (names === undefined) throw new Error("No such file or directory (os error 2)");
      return names;
    },
    link: (path) => links[path],
    exists: (path) => path in folders,
  };
}

const BRIDGE = "/sys/devices/pci0000:00/0000:00:02.0";

describe("pciDevicePath", () => {
  it("asks each bridge for its bus", () => {
    const ports = sysfs({ [`${BRIDGE}/pci_bus`]: ["0000:01"] });
    expect(pciDevicePath({ root: "00", slots: ["02.0", "03.0"] }, ports)).toBe(
      "/devices/pci0000:00/0000:00:02.0/0000:01:03.0",
    );
  });

  it("looks at what is behind a bridge that does not say", () => {
    const ports = sysfs({ [BRIDGE]: ["0000:05:00.0", "0000:05:01.0", "power", "driver"] });
    expect(pciDevicePath({ root: "00", slots: ["02.0", "03.0"] }, ports)).toContain("/0000:05:03.0");
  });

  it("finds the root of a machine without ACPI on arm64", () => {
    const path = { root: "00", slots: ["02.0"] };
    expect(pciDevicePath(path, sysfs({}), "arm64")).toBe("/devices/platform/4010000000.pcie/pci0000:00/0000:00:02.0");
    expect(pciDevicePath(path, sysfs({ "/sys/devices/pci0000:00": [] }), "arm64")).toBe(
      "/devices/pci0000:00/0000:00:02.0",
    );
  });

  it.each([
    ["two buses", { [`${BRIDGE}/pci_bus`]: ["0000:01", "0000:02"] }],
    ["nothing behind it", { [BRIDGE]: [] }],
    ["two buses behind it", { [BRIDGE]: ["0000:05:00.0", "0000:06:00.0"] }],
    ["no such bridge", {}],
  ])("refuses a bridge with %s", (_, folders) => {
    expect(() => pciDevicePath({ root: "00", slots: ["02.0", "03.0"] }, sysfs(folders))).toThrow(
      "failed to resolve next bus for PCI path element 0 (device 0000:00:02.0) under root /sys/devices/pci0000:00",
    );
  });
});

describe("the interface of a device", () => {
  const device = "/devices/pci0000:00/0000:00:02.0";

  it("is told by the links of /sys/class/net", () => {
    const ports = sysfs(
      { "/sys/class/net": ["lo", "eth0", "eth1"] },
      {
        "/sys/class/net/lo": "../../devices/virtual/net/lo",
        "/sys/class/net/eth0": "../../devices/pci0000:00/0000:00:02.1/virtio0/net/eth0",
        "/sys/class/net/eth1": "../../devices/pci0000:00/0000:00:02.0/virtio1/net/eth1",
      },
    );
    expect(interfaceOf(device, ports)).toBe("eth1");
    expect(interfaceOf("/devices/pci0000:00/0000:00:03.0", ports)).toBeUndefined();
  });

  it("is told by an event", () => {
    const event = (over: object) => ({
      action: "add",
      devicePath: `${device}/virtio1/net/eth1`,
      variables: new Map([
        ["SUBSYSTEM", "net"],
        ["INTERFACE", "eth1"],
      ]),
      ...over,
    });
    expect(isInterface(event({}), device)).toBe(true);
    expect(isInterface(event({ action: "remove" }), device)).toBe(false);
    expect(isInterface(event({ devicePath: `${device}1/net/eth1` }), device)).toBe(false);
    expect(isInterface(event({ variables: new Map([["SUBSYSTEM", "net"]]) }), device)).toBe(false);
  });
});
