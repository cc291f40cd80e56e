import { Family, formatIp, type Link, type Route, RouteField, type Rtnetlink } from "@nacre/kata-sys-util";
import type { Init, types } from "@nacre/protocols";

import { formatMac } from "./mac-address.ts";

const V4 = 0;
const V6 = 1;

/** All interfaces with their addresses (section 1.3). The families are inverted, as callers know it. */
export async function listInterfaces(rtnl: Rtnetlink): Promise<Init<types.Interface>[]> {
  const links = await rtnl.links();
  const addresses = Map.groupBy(await rtnl.addresses(), ({ index }) => index);
  return links.map((link) => ({
    name: link.name,
    hwAddr: linkAddress(link),
    mtu: BigInt(link.mtu),
    IPAddresses: (addresses.get(link.index) ?? []).map(({ family, address, local, prefixLength }) => ({
      family: family === Family.INET6 ? V4 : V6,
      address: text(address ?? local),
      mask: String(prefixLength),
    })),
  }));
}

/** The routes of the main table. One with a gateway has the destination `0.0.0.0` or `::1`, as callers know it. */
export async function listRoutes(rtnl: Rtnetlink): Promise<Init<types.Route>[]> {
  const names = new Map((await rtnl.links()).map(({ index, name }) => [index, name] as const));
  return (await rtnl.routes())
    .filter(({ table, destination, gateway }) => {
      // The real agent leaves out what has neither: a default route without a gateway.
      return table === RouteField.RT_TABLE_MAIN && (destination !== undefined || gateway !== undefined);
    })
    .map((route) => ({
      dest: shownDestination(route),
      gateway: text(route.gateway),
      device: names.get(route.output ?? 0) ?? "",
      source: prefixText(route.source),
      scope: route.scope,
      mtu: route.mtu ?? 0,
    }));
}

function shownDestination({ gateway, destination }: Route): string {
  if (gateway === undefined) return prefixText(destination);
  return gateway.length === 4 ? "0.0.0.0" : "::1";
}

function prefixText(prefix: Route["source"]): string {
  return prefix === undefined ? "" : `${text(prefix.address)}/${prefix.length}`;
}

function text(address: Buffer | undefined): string {
  return address === undefined ? "" : (formatIp(address) ?? "");
}

/** Ethernet's six bytes, or the addresses of tunnels; anything else is not shown. */
function linkAddress({ address }: Link): string {
  return address.length === 6 ? formatMac(address) : (formatIp(address) ?? "");
}
