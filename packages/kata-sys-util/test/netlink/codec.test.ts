import { describe, expect, it } from "vitest";

import { SysError } from "../../src/index.ts";
import { encodeAttributes, parseAttributes, readU32, u32 } from "../../src/netlink/attributes.ts";
import { Family, LinkFlag, NetlinkFlag, NetlinkType, Route as RouteField } from "../../src/netlink/constants.ts";
import { encodeMessage, parseAck, parseMessages } from "../../src/netlink/message.ts";
import {
  encodeAddress,
  encodeLinkChange,
  encodeNeighbour,
  encodeRoute,
  parseAddress,
  parseLink,
  parseRoute,
  type Route,
} from "../../src/netlink/rtnetlink-messages.ts";
import { parseUevent } from "../../src/netlink/uevent.ts";
import { damaged, generator } from "./random.ts";

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(/\s/g, ""), "hex");

/** `RTM_NEWLINK` as the kernel lays it out, with few of its attributes. */
const LINK = hex(`
  48000000 10000200 01000000 00000000  0000 0100 02000000 43100100 00000000
  0900 0300 65746830 00 000000  0800 0400 78050000  0a00 0100 020000000001 0000  0800 0e00 00000000`);

const ROUTE: Route = {
  family: Family.INET,
  table: RouteField.RT_TABLE_MAIN,
  scope: 253,
  flags: 4,
  destination: { address: Buffer.from([10, 0, 0, 0]), length: 8 },
  source: { address: Buffer.from([10, 1, 0, 0]), length: 16 },
  preferredSource: Buffer.from([10, 2, 0, 1]),
  gateway: Buffer.from([10, 9, 9, 9]),
  output: 7,
  mtu: 1300,
};

describe("messages", () => {
  it("are read one after another, padded to four bytes", () => {
    const one = { type: 16, flags: 2, sequence: 1, port: 9, payload: Buffer.from("abc") };
    const two = { type: 3, flags: 2, sequence: 1, port: 9, payload: Buffer.alloc(4) };
    const bytes = Buffer.concat([encodeMessage(one), Buffer.alloc(1), encodeMessage(two)]);
    expect(bytes.readUInt32LE(0)).toBe(19);
    expect(parseMessages(bytes)).toEqual([one, two]);
    expect(parseMessages(Buffer.alloc(0))).toEqual([]);
  });

  it.each([
    ["a cut header", "1000 0000"],
    ["a length below the header", "0f000000 10000200 01000000 00000000"],
    ["a length beyond the datagram", "11000000 10000200 01000000 00000000"],
    ["a length of 4 GiB", "ffffffff 10000200 01000000 00000000"],
  ])("with %s are refused", (_, text) => {
    expect(() => parseMessages(hex(text))).toThrow(/^netlink: expected a .* that fits, got/);
  });
});

describe("acknowledgements", () => {
  const message = (payload: Buffer, flags = 0) => ({
    type: NetlinkType.NLMSG_ERROR,
    flags,
    sequence: 1,
    port: 0,
    payload,
  });
  const header = hex("14000000 18000500 01000000 00000000");
  const words = encodeAttributes([{ type: 1, value: Buffer.from("Nexthop has invalid gateway\0") }]);

  it("say success", () => {
    expect(parseAck(message(Buffer.alloc(4)))).toEqual({ errno: 0, text: undefined });
  });

  it("say an error and the kernel's words, with the request left out or not", () => {
    const errno = Buffer.alloc(4);
    errno.writeInt32LE(-101);
    const capped = Buffer.concat([errno, header, words]);
    const flags = NetlinkFlag.ACK_TLVS | NetlinkFlag.CAPPED;
    expect(parseAck(message(capped, flags))).toEqual({ errno: 101, text: "Nexthop has invalid gateway" });
    const whole = Buffer.concat([errno, header, Buffer.alloc(4), words]);
    expect(parseAck(message(whole, NetlinkFlag.ACK_TLVS))).toMatchObject({ text: "Nexthop has invalid gateway" });
    expect(parseAck(message(capped, 0)).text).toBeUndefined();
  });

  it.each([
    ["no number", Buffer.alloc(3), 0],
    ["no request", Buffer.alloc(8), NetlinkFlag.ACK_TLVS],
    ["a request beyond the end", Buffer.concat([Buffer.alloc(4, 0xff), Buffer.alloc(16, 0xff)]), NetlinkFlag.ACK_TLVS],
  ])("with %s are refused", (_, payload, flags) => {
    expect(() => parseAck(message(payload, flags))).toThrow(SysError);
  });
});

describe("attributes", () => {
  it("are padded to four bytes, and their types read without the flags", () => {
    const bytes = encodeAttributes([
      { type: 3, value: Buffer.from("lo\0") },
      { type: 8, value: u32(5) },
    ]);
    expect(bytes.toString("hex")).toBe("070003006c6f00000800080005000000");
    expect(parseAttributes(hex("0800 0880 05000000"))).toEqual([{ type: 8, value: u32(5) }]);
  });

  it("are at most 64 KiB", () => {
    expect(() => encodeAttributes([{ type: 3, value: Buffer.alloc(0xfffc) }])).toThrow(
      "netlink: expected an attribute of at most 65531 bytes, got 65532",
    );
  });

  it.each(["0300 0100", "0500 0100", "0000 0000", "04"])("of %s are refused", (text) => {
    expect(() => parseAttributes(hex(text))).toThrow(SysError);
  });

  it("that are to hold a number hold four bytes", () => {
    expect(() => readU32([{ type: 4, value: Buffer.alloc(2) }], 4)).toThrow(SysError);
    expect(readU32([], 4)).toBeUndefined();
  });
});

describe("rtnetlink", () => {
  it("reads a link of the kernel's", () => {
    const [message] = parseMessages(LINK);
    expect(message?.type).toBe(NetlinkType.RTM_NEWLINK);
    expect(parseLink(message?.payload ?? Buffer.alloc(0))).toEqual({
      index: 2,
      flags: 0x11043,
      name: "eth0",
      address: hex("020000000001"),
      mtu: 1400,
    });
  });

  it("writes what a link is to become", () => {
    const flags = { value: LinkFlag.UP, mask: LinkFlag.UP | LinkFlag.NOARP };
    expect(encodeLinkChange(2, { name: "eth0", mtu: 1400, flags })).toEqual(
      hex("00000000020000000100000081000000 0800040078050000 0900030065746830 00000000"),
    );
    expect(() => encodeLinkChange(2, { name: "a\0b" })).toThrow('netlink: expected no NUL in "a\\u0000b"');
  });

  it.each([
    ["IPv4 with its broadcast", [192, 0, 2, 2], 24, "c00002ff"],
    ["a host of its own", [192, 0, 2, 2], 32, "c0000202"],
    ["the whole of IPv4", [192, 0, 2, 2], 0, "ffffffff"],
  ])("writes an address: %s", (_, address, length, broadcast) => {
    const bytes = encodeAddress(3, Buffer.from(address), length);
    expect(parseAddress(bytes)).toMatchObject({ index: 3, family: 2, prefixLength: length });
    expect(bytes.toString("hex")).toContain(`08000400${broadcast}`);
  });

  it("reads back a route with everything, and one with nothing", () => {
    expect(parseRoute(encodeRoute(ROUTE))).toEqual(ROUTE);
    const bare: Route = {
      ...ROUTE,
      family: Family.INET6,
      table: 1000,
      destination: undefined,
      source: undefined,
      preferredSource: undefined,
      gateway: undefined,
      output: undefined,
      mtu: undefined,
    };
    expect(parseRoute(encodeRoute(bare))).toEqual(bare);
  });

  it("writes a neighbour", () => {
    const neighbour = { index: 3, destination: Buffer.from([192, 0, 2, 77]), linkAddress: hex("020000000077") };
    expect(encodeNeighbour({ ...neighbour, state: 0x80, flags: 0 })).toEqual(
      hex("020000000300000080000000 08000100c000024d 0a000200020000000077 0000"),
    );
  });

  it("reads or refuses whatever a changed datagram makes of it: seeded fuzz", () => {
    const next = generator(7);
    let refused = 0;
    const route = encodeMessage({ type: 24, flags: 2, sequence: 1, port: 0, payload: encodeRoute(ROUTE) });
    for (let round = 0; round < 20_000; round += 1) {
      const bytes = damaged(round % 2 === 0 ? LINK : route, next);
      try {
        for (const message of parseMessages(bytes)) {
          for (const parse of [parseLink, parseAddress, parseRoute]) parse(message.payload);
          parseAck({ ...message, flags: message.flags | NetlinkFlag.ACK_TLVS });
        }
      } catch (error) {
        expect(error).toBeInstanceOf(SysError);
        expect((error as SysError).code).toBe("parse");
        refused += 1;
      }
    }
    expect(refused).toBeGreaterThan(1000);
  });
});

describe("uevents", () => {
  it("have an action, a path and variables", () => {
    const text = "add@/devices/pci0000:00/0000:00:02.0/virtio1/net/eth0\0ACTION=add\0SUBSYSTEM=net\0INTERFACE=eth0\0";
    expect(parseUevent(Buffer.from(text))).toEqual({
      action: "add",
      devicePath: "/devices/pci0000:00/0000:00:02.0/virtio1/net/eth0",
      variables: new Map([
        ["ACTION", "add"],
        ["SUBSYSTEM", "net"],
        ["INTERFACE", "eth0"],
      ]),
    });
  });

  it.each(["", "libudev\0\xfe", "@/devices/x", "add@devices"])("are not %j", (text) => {
    expect(parseUevent(Buffer.from(text, "latin1"))).toBeUndefined();
  });
});
