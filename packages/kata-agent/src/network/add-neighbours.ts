import { type Neighbour, NUD_PERMANENT, parseIp, type Rtnetlink } from "@nacre/kata-sys-util";
import type { types } from "@nacre/protocols";

import { describeError } from "../error.ts";
import { parseMac } from "./mac-address.ts";
import { kernelRefusal } from "./texts.ts";

/** Adds or replaces entries of the neighbour table; state 0 is permanent (section 1.3). Throws Error. */
export async function addNeighbours(rtnl: Rtnetlink, wanted: readonly types.ARPNeighbor[]): Promise<void> {
  for (const neighbour of wanted) {
    try {
      await addNeighbour(rtnl, neighbour);
    } catch (error) {
      const address = neighbour.toIPAddress?.address ?? "";
      throw refusedNeighbour(address, kernelRefusal(error));
    }
  }
}

async function addNeighbour(rtnl: Rtnetlink, wanted: types.ARPNeighbor): Promise<void> {
  const text = wanted.toIPAddress?.address ?? "";
  if (text === "") throw new Error("Unable to determine ip address of ARP neighbor");
  const destination = parseIp(text);
  if (destination === undefined) throw new Error(`Failed to parse IP ${text}: AddrParseError(Ip)`);
  const { index } = await rtnl.link({ name: wanted.device });
  const neighbour: Neighbour = {
    index,
    destination,
    linkAddress: wanted.lladdr === "" ? undefined : linkAddress(wanted.lladdr),
    state: wanted.state === 0 ? NUD_PERMANENT : wanted.state,
    flags: wanted.flags,
  };
  await rtnl.replaceNeighbour(neighbour).catch((error: unknown) => {
    throw new Error("executing NeighbourAddRequest", { cause: kernelRefusal(error) });
  });
}

/** The real agent prints what it found with its causes into one text. */
function refusedNeighbour(address: string, error: Error): Error {
  return new Error(`Failed to add ARP neighbor ${address}: ${describeError(error)}`);
}

function linkAddress(text: string): Buffer {
  try {
    return parseMac(text);
  } catch (cause) {
    throw new Error("parsing lladdr", { cause });
  }
}
