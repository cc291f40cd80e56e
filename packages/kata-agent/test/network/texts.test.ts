import { describe, expect, it } from "vitest";

import { parseInterfaceAddress, parseNetwork } from "../../src/network/ip-network.ts";
import { formatMac, parseMac } from "../../src/network/mac-address.ts";
import { type PciPath, parsePciPath } from "../../src/network/pci-path.ts";

describe("parseMac", () => {
  it("reads both cases and short numbers", () => {
    expect(formatMac(parseMac("02:aB:0:00:fF:1"))).toBe("02:AB:00:00:FF:01");
  });

  it.each([
    ["", "cannot parse integer from empty string"],
    ["zz", "invalid digit found in string"],
    ["02:00", "Invalid MAC address 02:00"],
    ["02:00:00:00:00:", "cannot parse integer from empty string"],
    ["02:00:00:00:00:100", "number too large to fit in target type"],
    ["02:00:00:00:00:01:02", "invalid digit found in string"],
    ["02-00-00-00-00-01", "invalid digit found in string"],
  ])("refuses %j: %s", (text, message) => {
    expect(() => parseMac(text)).toThrow(message);
  });
});

describe("parseInterfaceAddress", () => {
  it("reads an address and a length", () => {
    const { address, length } = parseInterfaceAddress({ family: 0, address: "192.0.2.2", mask: "24" });
    expect([address.join("."), length]).toEqual(["192.0.2.2", 24]);
  });

  it.each([
    ["banana", "24", "invalid IP address syntax"],
    ["192.0.2.2", "banana", "invalid digit found in string"],
    ["192.0.2.2", "", "cannot parse integer from empty string"],
    ["192.0.2.2", "33", "invalid prefix"],
    ["192.0.2.2", "256", "number too large to fit in target type"],
    ["::1", "129", "invalid prefix"],
  ])("refuses %s with %s: %s", (address, mask, message) => {
    expect(() => parseInterfaceAddress({ family: 0, address, mask })).toThrow(message);
  });
});

describe("parseNetwork", () => {
  it.each([
    ["10.0.0.0/8", 4, "10.0.0.0", 8],
    ["10.0.0.1", 4, "10.0.0.1", 32],
    ["10.0.0.0/255.255.0.0", 4, "10.0.0.0", 16],
    ["10.0.0.0/0.0.0.0", 4, "10.0.0.0", 0],
    ["10.0.0.0/255.255.255.255", 4, "10.0.0.0", 32],
  ] as const)("reads %s", (text, version, address, length) => {
    const network = parseNetwork(text, version);
    expect([network.address.join("."), network.length]).toEqual([address, length]);
  });

  it.each([
    ["banana", 4, "invalid address: banana"],
    ["10.0.0.0/8/8", 4, "invalid address: 10.0.0.0/8/8"],
    ["10.0.0.0/99", 4, "invalid prefix"],
    ["10.0.0.0/", 4, "invalid prefix"],
    ["10.0.0.0/255.0.255.0", 4, "invalid prefix"],
    ["10.8.0.0/16", 6, "invalid address: 10.8.0.0"],
    ["::/129", 6, "invalid prefix"],
  ] as const)("refuses %s", (text, version, message) => {
    expect(() => parseNetwork(text, version)).toThrow(message);
  });
});

describe("parsePciPath", () => {
  it.each([
    ["02", { root: "00", slots: ["02.0"] }],
    ["00/02", { root: "00", slots: ["00.0", "02.0"] }],
    ["1f.7", { root: "00", slots: ["1f.7"] }],
    ["02/00/01", { root: "00", slots: ["02.0", "00.0", "01.0"] }],
    ["20/00/02", { root: "20", slots: ["00.0", "02.0"] }],
  ] satisfies Array<[string, PciPath]>)("reads %s", (text, path) => {
    expect(parsePciPath(text)).toEqual(path);
  });

  it.each([
    ["zz", "Failed to parse PCI path from 'zz'", "invalid digit found in string"],
    ["20/00/zz", "Failed to parse PCI path from NUMA path '20/00/zz'", "invalid digit found in string"],
    ["00/", "Failed to parse PCI path from '00/'", "cannot parse integer from empty string"],
    ["20", "Failed to parse PCI path from '20'", "PCI slot 32 should be in range [0..0x1f]"],
    ["00.8", "Failed to parse PCI path from '00.8'", "PCI function 8 should be in range [0..0x7]"],
    ["00.0.0", "Failed to parse PCI path from '00.0.0'", "PCI slot/function 00.0.0 should have the format SS.F"],
    ["../../etc", "Failed to parse PCI path from '../../etc'", "PCI slot/function .. should have the format SS.F"],
    ["0/".repeat(300), `Failed to parse PCI path from '${"0/".repeat(300)}'`, "expected at most 256 elements"],
  ])("refuses %s", (text, message, cause) => {
    expect(() => parsePciPath(text)).toThrow(
      expect.objectContaining({ message, cause: expect.objectContaining({ message: cause }) as unknown }),
    );
  });
});
