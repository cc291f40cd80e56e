import { hasCode, type Link, LinkFlag, type Prefix, type Rtnetlink } from "@nacre/kata-sys-util";
import type { types } from "@nacre/protocols";

import { parseInterfaceAddress } from "./ip-network.ts";
import { parseMac } from "./mac-address.ts";
import { kernelRefusal, rephrased } from "./texts.ts";

/** What is undone, in reverse, when a later step fails. */
type Undo = Array<() => Promise<void>>;

/** Whether the guest has IPv6 at all; addresses of it are passed over where it has not. */
export type Ipv6Enabled = () => boolean;

const MAX_MTU = 0xffff_ffffn;

/**
 * Gives the interface with a MAC address its name, addresses, MTU and flags and brings it up (section 1.3). Addresses
 * that it has are kept; an interface that has the name already gets this one's. A failure leaves what was there, except
 * for what the kernel drops when an interface goes down. Throws Error in the real agent's words.
 */
export async function updateInterface(rtnl: Rtnetlink, wanted: types.Interface, ipv6: Ipv6Enabled): Promise<void> {
  const undo: Undo = [];
  try {
    const link = await findLink(rtnl, wanted, undo);
    const addresses = wanted.IPAddresses.map(parseInterfaceAddress).filter(({ address }) => {
      return address.length === 4 || ipv6();
    });
    await takeDown(rtnl, link, undo);
    await addAddresses(rtnl, link, addresses, undo);
    const other = await freeName(rtnl, link, wanted.name, undo);
    await bringUp(rtnl, link, wanted, undo);
    if (other !== undefined) await giveName(rtnl, other, link.name);
  } catch (error) {
    for (const step of undo.toReversed()) await step().catch(() => undefined);
    throw kernelRefusal(error);
  }
}

/** By MAC address; else the one with the name, which then gets this address: a card out of a VM template. */
async function findLink(rtnl: Rtnetlink, { hwAddr, name }: types.Interface, undo: Undo): Promise<Link> {
  let mac: Buffer;
  try {
    mac = parseMac(hwAddr);
  } catch (cause) {
    throw new Error(`Failed to parse MAC address: ${hwAddr}`, { cause });
  }
  const found = (await rtnl.links()).find(({ address }) => address.equals(mac));
  if (found !== undefined) return notLoopback(found);
  const named = notLoopback(await rtnl.link({ name }));
  await setMac(rtnl, named, mac);
  undo.push(() => setMac(rtnl, named, named.address));
  return named;
}

/** An interface changes its address while it is down only. */
export async function setMac(rtnl: Rtnetlink, link: Link, address: Buffer): Promise<void> {
  if (isUp(link)) await setUp(rtnl, link, false);
  await rtnl.setLink(link.index, { address });
  if (isUp(link)) await setUp(rtnl, link, true);
}

/** The daemons of the guest talk to each other over it. */
function notLoopback(link: Link): Link {
  if ((link.flags & LinkFlag.LOOPBACK) !== 0) throw new Error(`${link.name}: the loopback interface is not changed`);
  return link;
}

async function takeDown(rtnl: Rtnetlink, link: Link, undo: Undo): Promise<void> {
  if (!isUp(link)) return;
  await setUp(rtnl, link, false);
  undo.push(() => setUp(rtnl, link, true));
}

async function addAddresses(rtnl: Rtnetlink, link: Link, wanted: readonly Prefix[], undo: Undo): Promise<void> {
  const present = (await rtnl.addresses()).filter(({ index }) => index === link.index);
  for (const { address, length } of wanted) {
    await rtnl.replaceAddress(link.index, address, length);
    const old = present.some((one) => one.address?.equals(address) === true && one.prefixLength === length);
    if (!old) undo.push(() => rtnl.deleteAddress(link.index, address, length));
  }
}

/** Gives the interface that has the name a passing one, and answers it; undefined if nobody has the name. */
async function freeName(rtnl: Rtnetlink, link: Link, name: string, undo: Undo): Promise<Link | undefined> {
  if (link.name === name) return undefined;
  let other: Link;
  try {
    other = notLoopback(await rtnl.link({ name }));
  } catch (error) {
    // A name that cannot be is refused by the change itself, with its own text.
    if (hasCode(error, "ENODEV") || hasCode(error, "ERANGE") || hasCode(error, "EINVAL")) return undefined;
    throw error;
  }
  await takeDown(rtnl, other, undo);
  await rtnl.setLink(other.index, { name: `_temp${other.index}` });
  undo.push(() => rtnl.setLink(other.index, { name: other.name }));
  return other;
}

async function bringUp(rtnl: Rtnetlink, link: Link, wanted: types.Interface, undo: Undo): Promise<void> {
  const noArp = wanted.raw_flags & LinkFlag.NOARP;
  undo.push(() => {
    const flags = { value: link.flags & LinkFlag.NOARP, mask: LinkFlag.NOARP | LinkFlag.UP };
    return rtnl.setLink(link.index, { name: link.name, mtu: link.mtu, flags });
  });
  try {
    if (wanted.mtu > MAX_MTU) throw new Error(`expected an MTU of at most ${MAX_MTU}, got ${wanted.mtu}`);
    await rtnl.setLink(link.index, {
      mtu: Number(wanted.mtu),
      name: wanted.name,
      flags: { value: noArp | LinkFlag.UP, mask: LinkFlag.NOARP | LinkFlag.UP },
    });
  } catch (error) {
    const refusal = kernelRefusal(error);
    throw rephrased(`Failure in LinkSetRequest for interface ${wanted.name}: ${refusal.message}`, refusal);
  }
}

/** The real agent means to bring the other one up again and, by a mistake in its flags, leaves it down. */
async function giveName(rtnl: Rtnetlink, other: Link, name: string): Promise<void> {
  try {
    await rtnl.setLink(other.index, { name });
    if (isUp(other)) await setUp(rtnl, other, true);
  } catch (error) {
    const refusal = kernelRefusal(error);
    throw rephrased(`Error swapping back interface name ${other.name} to ${name}: ${refusal.message}`, refusal);
  }
}

function isUp({ flags }: Link): boolean {
  return (flags & LinkFlag.UP) !== 0;
}

function setUp(rtnl: Rtnetlink, { index }: Link, up: boolean): Promise<void> {
  return rtnl.setLink(index, { flags: { value: up ? LinkFlag.UP : 0, mask: LinkFlag.UP } });
}
