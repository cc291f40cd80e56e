import { type Attribute, encodeAttributes, parseAttributes, readU32, u32, valueOf } from "./attributes.ts";
import {
  AddressAttribute,
  Family,
  LinkAttribute,
  NeighbourAttribute,
  Route as RouteField,
  RouteAttribute,
  RouteMetric,
} from "./constants.ts";
import { cText, malformed, readCText } from "./layout.ts";

/** An interface (rtnetlink(7), RTM_NEWLINK). */
export interface Link {
  readonly index: number;
  /** `LinkFlag` bits. */
  readonly flags: number;
  readonly name: string;
  /** The hardware address; empty where the interface has none. */
  readonly address: Buffer;
  readonly mtu: number;
}

/** What RTM_SETLINK is to change; absent stays as it is. */
export interface LinkChange {
  readonly name?: string;
  readonly address?: Buffer;
  readonly mtu?: number;
  /** Flags to set or clear, with the mask of those that are meant. */
  readonly flags?: { readonly value: number; readonly mask: number };
}

/** An address of an interface (RTM_NEWADDR). Of a point-to-point pair `address` is the peer's and `local` our own. */
export interface InterfaceAddress {
  readonly index: number;
  readonly family: number;
  readonly prefixLength: number;
  readonly address: Buffer | undefined;
  readonly local: Buffer | undefined;
}

/** A route (RTM_NEWROUTE). Addresses are 4 or 16 bytes. */
export interface Route {
  readonly family: number;
  readonly table: number;
  readonly scope: number;
  readonly flags: number;
  /** Absent: the default route. */
  readonly destination: Prefix | undefined;
  readonly source: Prefix | undefined;
  readonly preferredSource: Buffer | undefined;
  readonly gateway: Buffer | undefined;
  /** Index of the interface. */
  readonly output: number | undefined;
  readonly mtu: number | undefined;
}

export interface Prefix {
  readonly address: Buffer;
  readonly length: number;
}

/** An entry of the neighbour table (RTM_NEWNEIGH). */
export interface Neighbour {
  readonly index: number;
  readonly destination: Buffer;
  readonly linkAddress: Buffer | undefined;
  /** NUD_* */
  readonly state: number;
  /** NTF_* */
  readonly flags: number;
}

const LINK_HEADER = 16;
const ADDRESS_HEADER = 8;
const ROUTE_HEADER = 12;
const NEIGHBOUR_HEADER = 12;

/** An empty question for dumps: the family in a header of the right size. */
export const dumpQuestion = {
  links: (): Buffer => Buffer.alloc(LINK_HEADER),
  addresses: (): Buffer => Buffer.alloc(ADDRESS_HEADER),
  routes: (family: number): Buffer => header(ROUTE_HEADER, [family]),
};

/** The question for one interface. Throws SysError EINVAL for a NUL, EMSGSIZE for a name of 64 KiB. */
export function encodeLinkQuestion(which: { readonly name: string } | { readonly index: number }): Buffer {
  const bytes = Buffer.alloc(LINK_HEADER);
  if ("index" in which) {
    bytes.writeUInt32LE(which.index, 4);
    return bytes;
  }
  return Buffer.concat([bytes, encodeAttributes([{ type: LinkAttribute.IFNAME, value: cText(which.name) }])]);
}

/** Throws SysError as {@link encodeLinkQuestion}. */
export function encodeLinkChange(index: number, change: LinkChange): Buffer {
  const bytes = Buffer.alloc(LINK_HEADER);
  bytes.writeUInt32LE(index, 4);
  bytes.writeUInt32LE(change.flags?.value ?? 0, 8);
  bytes.writeUInt32LE(change.flags?.mask ?? 0, 12);
  const attributes: Attribute[] = [];
  if (change.address !== undefined) attributes.push({ type: LinkAttribute.ADDRESS, value: change.address });
  if (change.mtu !== undefined) attributes.push({ type: LinkAttribute.MTU, value: u32(change.mtu) });
  if (change.name !== undefined) attributes.push({ type: LinkAttribute.IFNAME, value: cText(change.name) });
  return Buffer.concat([bytes, encodeAttributes(attributes)]);
}

/** Throws SysError `parse`, as the others below. */
export function parseLink(payload: Buffer): Link {
  const attributes = body(payload, LINK_HEADER, "an interface");
  return {
    index: payload.readUInt32LE(4),
    flags: payload.readUInt32LE(8),
    name: readCText(valueOf(attributes, LinkAttribute.IFNAME) ?? Buffer.alloc(0)),
    address: valueOf(attributes, LinkAttribute.ADDRESS) ?? Buffer.alloc(0),
    mtu: readU32(attributes, LinkAttribute.MTU) ?? 0,
  };
}

/**
 * An address as `ip address add` gives it: IPv4 with its broadcast address, and a multicast address by an attribute of
 * its own.
 */
export function encodeAddress(index: number, address: Buffer, prefixLength: number): Buffer {
  const v4 = address.length === 4;
  const bytes = header(ADDRESS_HEADER, [v4 ? Family.INET : Family.INET6, prefixLength]);
  bytes.writeUInt32LE(index, 4);
  const attributes: Attribute[] = [];
  const multicast = v4 ? (address[0] ?? 0) >> 4 === 0xe : address[0] === 0xff;
  if (multicast) attributes.push({ type: AddressAttribute.MULTICAST, value: address });
  else {
    attributes.push({ type: AddressAttribute.ADDRESS, value: address });
    attributes.push({ type: AddressAttribute.LOCAL, value: address });
    if (v4) attributes.push({ type: AddressAttribute.BROADCAST, value: broadcast(address, prefixLength) });
  }
  return Buffer.concat([bytes, encodeAttributes(attributes)]);
}

export function parseAddress(payload: Buffer): InterfaceAddress {
  const attributes = body(payload, ADDRESS_HEADER, "an address");
  return {
    family: payload.readUInt8(0),
    prefixLength: payload.readUInt8(1),
    index: payload.readUInt32LE(4),
    address: valueOf(attributes, AddressAttribute.ADDRESS),
    local: valueOf(attributes, AddressAttribute.LOCAL),
  };
}

/** A unicast route with the protocol `boot`, as `ip route add` makes it. */
export function encodeRoute(route: Route): Buffer {
  const bytes = header(ROUTE_HEADER, [
    route.family,
    route.destination?.length ?? 0,
    route.source?.length ?? 0,
    0,
    // Tables above 255 go by an attribute alone.
    route.table > 0xff ? RouteField.RT_TABLE_UNSPEC : route.table,
    RouteField.RTPROT_BOOT,
    route.scope,
    RouteField.RTN_UNICAST,
  ]);
  bytes.writeUInt32LE(route.flags >>> 0, 8);
  const attributes: Attribute[] = [];
  const add = (type: number, value: Buffer | undefined): void => {
    if (value !== undefined) attributes.push({ type, value });
  };
  add(RouteAttribute.TABLE, u32(route.table));
  add(RouteAttribute.DST, route.destination?.address);
  add(RouteAttribute.SRC, route.source?.address);
  add(RouteAttribute.PREFSRC, route.preferredSource);
  add(RouteAttribute.OIF, route.output === undefined ? undefined : u32(route.output));
  add(RouteAttribute.GATEWAY, route.gateway);
  if (route.mtu !== undefined) {
    add(RouteAttribute.METRICS, encodeAttributes([{ type: RouteMetric.MTU, value: u32(route.mtu) }]));
  }
  return Buffer.concat([bytes, encodeAttributes(attributes)]);
}

export function parseRoute(payload: Buffer): Route {
  const attributes = body(payload, ROUTE_HEADER, "a route");
  const prefix = (type: number, length: number): Prefix | undefined => {
    const address = valueOf(attributes, type);
    return address === undefined ? undefined : { address, length };
  };
  const metrics = valueOf(attributes, RouteAttribute.METRICS);
  return {
    family: payload.readUInt8(0),
    table: readU32(attributes, RouteAttribute.TABLE) ?? payload.readUInt8(4),
    scope: payload.readUInt8(6),
    flags: payload.readUInt32LE(8),
    destination: prefix(RouteAttribute.DST, payload.readUInt8(1)),
    source: prefix(RouteAttribute.SRC, payload.readUInt8(2)),
    preferredSource: valueOf(attributes, RouteAttribute.PREFSRC),
    gateway: valueOf(attributes, RouteAttribute.GATEWAY),
    output: readU32(attributes, RouteAttribute.OIF),
    mtu: metrics === undefined ? undefined : readU32(parseAttributes(metrics), RouteMetric.MTU),
  };
}

export function encodeNeighbour(neighbour: Neighbour): Buffer {
  const bytes = header(NEIGHBOUR_HEADER, [neighbour.destination.length === 4 ? Family.INET : Family.INET6]);
  bytes.writeUInt32LE(neighbour.index, 4);
  bytes.writeUInt16LE(neighbour.state & 0xffff, 8);
  bytes.writeUInt8(neighbour.flags & 0xff, 10);
  const attributes: Attribute[] = [{ type: NeighbourAttribute.DST, value: neighbour.destination }];
  if (neighbour.linkAddress !== undefined) {
    attributes.push({ type: NeighbourAttribute.LLADDR, value: neighbour.linkAddress });
  }
  return Buffer.concat([bytes, encodeAttributes(attributes)]);
}

function header(size: number, firstBytes: readonly number[]): Buffer {
  const bytes = Buffer.alloc(size);
  for (const [offset, value] of firstBytes.entries()) bytes.writeUInt8(value & 0xff, offset);
  return bytes;
}

function body(payload: Buffer, headerSize: number, what: string): Attribute[] {
  if (payload.length < headerSize) throw malformed(what, payload.length);
  return parseAttributes(payload.subarray(headerSize));
}

function broadcast(address: Buffer, prefixLength: number): Buffer {
  const hostBits = prefixLength >= 32 ? 0 : 0xffff_ffff >>> prefixLength;
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE((address.readUInt32BE(0) | hostBits) >>> 0);
  return bytes;
}
