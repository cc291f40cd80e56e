import { parseIp } from "@nacre/kata-sys-util";
import { AgentService, type grpc, type Init, type types } from "@nacre/protocols";

import type { Agent } from "../agent.ts";
import { NacreError } from "../error.ts";

/** The network card of a guest, as the host that gave it knows it. */
export interface GuestCard {
  /** By which the agent finds it. */
  readonly mac: string;
  /** Default `eth0`. */
  readonly name?: string;
  /** `ADDRESS/PREFIX`, of either family. */
  readonly addresses: readonly string[];
  /** Gateway of the default route, one a family at most; it must be in reach of an address. */
  readonly gateways?: readonly string[];
  /** Default 1500. */
  readonly mtu?: number;
  /** Neighbours that the guest need not ask for, such as the gateway. */
  readonly neighbours?: ReadonlyArray<{ readonly address: string; readonly mac: string }>;
}

/** The calls that configure a card, in a Kata runtime's order (section 9.3); those that say nothing are left out. */
export interface NetworkRequests {
  readonly updateInterface: Init<grpc.UpdateInterfaceRequest>;
  readonly updateRoutes: Init<grpc.UpdateRoutesRequest> | undefined;
  readonly addNeighbours: Init<grpc.AddARPNeighborsRequest> | undefined;
}

const V4 = 0;
const V6 = 1;
/** A runtime gives each of these calls a minute. */
const CALL_TIMEOUT_MS = 60_000;

/** Throws NacreError `usage` for an address that is none. */
export function networkRequests(card: GuestCard): NetworkRequests {
  const { mac, name = "eth0", addresses, gateways = [], mtu = 1500, neighbours = [] } = card;
  return {
    updateInterface: {
      interface: { device: name, name, IPAddresses: addresses.map(prefix), mtu: BigInt(mtu), hwAddr: mac },
    },
    updateRoutes:
      gateways.length === 0
        ? undefined
        : { routes: { Routes: gateways.map((gateway) => ({ gateway, device: name, family: family(gateway) })) } },
    addNeighbours:
      neighbours.length === 0
        ? undefined
        : {
            neighbors: {
              ARPNeighbors: neighbours.map(({ address, mac: lladdr }) => ({
                toIPAddress: { family: family(address), address },
                device: name,
                lladdr,
              })),
            },
          },
  };
}

/** Gives a guest's card its addresses and routes, as a Kata runtime does before CreateSandbox. Throws AgentRefusal. */
export async function configureNetwork(agent: Agent, card: GuestCard, signal?: AbortSignal): Promise<void> {
  const { updateInterface, updateRoutes, addNeighbours } = networkRequests(card);
  const options = { timeoutMs: CALL_TIMEOUT_MS, signal };
  await agent.call(AgentService.methods.UpdateInterface, updateInterface, options);
  if (updateRoutes !== undefined) await agent.call(AgentService.methods.UpdateRoutes, updateRoutes, options);
  if (addNeighbours !== undefined) await agent.call(AgentService.methods.AddARPNeighbors, addNeighbours, options);
}

function prefix(text: string): Init<types.IPAddress> {
  const [address = "", mask = ""] = text.split("/");
  const bits = family(address) === V4 ? 32 : 128;
  if (!/^\d{1,3}$/u.test(mask) || Number(mask) > bits || text !== `${address}/${mask}`) {
    throw new NacreError("usage", `network: expected ADDRESS/PREFIX, got ${JSON.stringify(text)}`);
  }
  return { family: family(address), address, mask };
}

function family(address: string): types.IPFamily {
  const bytes = parseIp(address);
  if (bytes === undefined) {
    throw new NacreError("usage", `network: expected an IP address, got ${JSON.stringify(address)}`);
  }
  return bytes.length === 4 ? V4 : V6;
}
