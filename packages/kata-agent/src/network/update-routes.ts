import { Family, hasCode, type Route, RouteField, type Rtnetlink, SysError } from "@nacre/kata-sys-util";
import type { types } from "@nacre/protocols";

import { describeErrno } from "../container/index.ts";
import { parseGateway, parseNetwork } from "./ip-network.ts";
import { kernelRefusal, rephrased } from "./texts.ts";

const V6 = 1;

/**
 * Adds routes to the main table, or changes those that are there; none is taken away (section 1.3). Those without a
 * gateway come first: a gateway must be reachable when its route is made. Throws Error in the real agent's words.
 */
export async function updateRoutes(rtnl: Rtnetlink, wanted: readonly types.Route[]): Promise<void> {
  const ordered = [
    ...wanted.filter(({ gateway }) => gateway === ""),
    ...wanted.filter(({ gateway }) => gateway !== ""),
  ];
  // Texts are read before anything is changed; what the kernel refuses shows only when it is asked.
  const routes = ordered.map((route) => ({ route, parsed: parseRoute(route) }));
  for (const { route, parsed } of routes) {
    let output: number;
    try {
      output = (await rtnl.link({ name: route.device })).index;
    } catch (error) {
      throw kernelRefusal(error);
    }
    await addRoute(rtnl, { ...parsed, output }, route);
  }
}

async function addRoute(rtnl: Rtnetlink, route: Route, asked: types.Route): Promise<void> {
  try {
    await rtnl.replaceRoute(route);
  } catch (error) {
    if (hasCode(error, "EEXIST")) return;
    if (!(error instanceof SysError)) throw error;
    const what = `src: ${asked.source}, dst: ${asked.dest}, gtw: ${asked.gateway}`;
    const version = route.family === Family.INET6 ? "v6" : "v4";
    throw rephrased(`Failed to add IP ${version} route (${what},Err: ${describeErrno(error)})`, error);
  }
}

function parseRoute(route: types.Route): Route {
  const version = route.family === V6 ? 6 : 4;
  const source = route.source === "" ? undefined : parseNetwork(route.source, version);
  return {
    family: version === 6 ? Family.INET6 : Family.INET,
    table: RouteField.RT_TABLE_MAIN,
    scope: route.scope & 0xff,
    flags: route.flags,
    destination: parseNetwork(route.dest === "" ? (version === 6 ? "::/0" : "0.0.0.0/0") : route.dest, version),
    // A source of no bits means the address that is preferred, not where packets come from.
    source: source?.length === 0 ? undefined : source,
    preferredSource: source?.length === 0 ? source.address : undefined,
    gateway: route.gateway === "" ? undefined : parseGateway(route.gateway, version),
    output: undefined,
    mtu: route.mtu === 0 ? undefined : route.mtu,
  };
}
