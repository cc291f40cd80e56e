import { describe, expect, it } from "vitest";

import { networkRequests } from "../../src/guest/guest-network.ts";

describe("networkRequests", () => {
  it("are those of a Kata runtime", () => {
    const requests = networkRequests({
      mac: "02:00:00:00:00:01",
      addresses: ["10.244.2.67/24", "2001:db8::2/64"],
      gateways: ["10.244.2.1", "2001:db8::1"],
      neighbours: [{ address: "10.244.2.1", mac: "02:00:00:00:00:02" }],
    });
    expect(requests).toEqual({
      updateInterface: {
        interface: {
          device: "eth0",
          name: "eth0",
          IPAddresses: [
            { family: 0, address: "10.244.2.67", mask: "24" },
            { family: 1, address: "2001:db8::2", mask: "64" },
          ],
          mtu: 1500n,
          hwAddr: "02:00:00:00:00:01",
        },
      },
      updateRoutes: {
        routes: {
          Routes: [
            { gateway: "10.244.2.1", device: "eth0", family: 0 },
            { gateway: "2001:db8::1", device: "eth0", family: 1 },
          ],
        },
      },
      addNeighbours: {
        neighbors: {
          ARPNeighbors: [
            { toIPAddress: { family: 0, address: "10.244.2.1" }, device: "eth0", lladdr: "02:00:00:00:00:02" },
          ],
        },
      },
    });
  });

  it("leave out what says nothing", () => {
    const card = { mac: "02:00:00:00:00:01", addresses: ["192.0.2.2/30"], name: "eth1", mtu: 1400 };
    expect(networkRequests(card)).toMatchObject({
      updateInterface: { interface: { name: "eth1", mtu: 1400n } },
      updateRoutes: undefined,
      addNeighbours: undefined,
    });
  });

  it.each([
    ["no prefix", { addresses: ["192.0.2.2"] }],
    ["a prefix that is too long", { addresses: ["192.0.2.2/33"] }],
    ["two prefixes", { addresses: ["192.0.2.2/24/24"] }],
    ["no address", { addresses: ["banana/24"] }],
    ["a gateway with a prefix", { addresses: [], gateways: ["192.0.2.1/24"] }],
    ["a neighbour that is none", { addresses: [], neighbours: [{ address: "x", mac: "y" }] }],
  ])("refuse %s", (_, card) => {
    expect(() => networkRequests({ mac: "02:00:00:00:00:01", ...card })).toThrow(
      expect.objectContaining({ code: "usage" }),
    );
  });
});
