import { randomInt } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { networkInterfaces } from "node:os";

import { NacreError } from "../error.ts";
import type { GuestNetwork } from "./state.ts";
import { runTool } from "./tool.ts";

/** 198.18.0.0/15 is set aside for tests of network devices (RFC 2544) and is routed nowhere. */
const BASE: number = (198 << 24) | (18 << 16);
/** Networks of four addresses, two of them usable. */
const NETWORKS: number = 1 << 15;
const PREFIX_LENGTH = 30;
/** Tries before the range counts as full. */
const ATTEMPTS = 64;

/** Chooses a network that no interface of this machine has. Two that choose at once differ, all but surely. */
export function chooseNetwork(
  random: (below: number) => number = (below) => randomInt(below),
  taken: ReadonlySet<string> = ownAddresses(),
): GuestNetwork {
  for (let attempt = 0; attempt < ATTEMPTS; attempt += 1) {
    const network = networkAt(random(NETWORKS));
    if (!taken.has(network.gateway)) return network;
  }
  throw new NacreError("environment", "network: expected a free network in 198.18.0.0/15, got none");
}

function ownAddresses(): ReadonlySet<string> {
  return new Set(Object.values(networkInterfaces()).flatMap((list) => (list ?? []).map(({ address }) => address)));
}

export function networkAt(index: number): GuestNetwork {
  const first = BASE + index * 4;
  return { gateway: dotted(first + 1), address: dotted(first + 2), prefixLength: PREFIX_LENGTH };
}

/** Joins the machine and the network namespace of process `pid` by a pair of interfaces; the guest's is `eth0`. */
export async function connectGuest(name: string, pid: number, network: GuestNetwork): Promise<void> {
  const { gateway, address, prefixLength } = network;
  await ipBatch(
    [],
    [
      `link add ${name} type veth peer name eth0 netns ${pid}`,
      `addr add ${gateway}/${prefixLength} dev ${name}`,
      `link set ${name} up`,
    ],
  );
  await ipBatch(
    ["/usr/bin/nsenter", `--net=/proc/${pid}/ns/net`, "--"],
    [`addr add ${address}/${prefixLength} dev eth0`, "link set eth0 up", `route add default via ${gateway}`],
  );
}

/** Makes a virtual machine's end of its network, with the machine's side of it. Resolves with that side's MAC address. */
export async function createTap(name: string, network: GuestNetwork): Promise<string> {
  const { gateway, prefixLength } = network;
  if (!existsSync("/dev/net/tun")) throw new NacreError("environment", "expected /dev/net/tun: modprobe tun");
  await ipBatch(
    [],
    [`tuntap add dev ${name} mode tap`, `addr add ${gateway}/${prefixLength} dev ${name}`, `link set ${name} up`],
  );
  const shown = await runTool([ipPath(), "-json", "link", "show", "dev", name]);
  const [link] = JSON.parse(shown) as ReadonlyArray<{ readonly address: string }>;
  if (link === undefined) throw new NacreError("environment", `expected an interface ${name}, got none`);
  return link.address;
}

/** The MAC address of a guest's card: locally administered, and the guest's id. */
export function guestMac(id: string): string {
  return `02:6e:${(id.match(/../gu) ?? []).join(":")}`;
}

/** Takes both ends away; nothing happens when they are gone with the guest. */
export async function disconnectGuest(name: string): Promise<void> {
  if (!hasInterface(name)) return;
  try {
    await runTool([ipPath(), "link", "delete", "dev", name]);
  } catch (error) {
    // A namespace that ends takes its interfaces along at a moment of the kernel's choice.
    if (hasInterface(name)) throw error;
  }
}

/** Of this process's network namespace; /sys/class/net shows that of whoever mounted it. */
function hasInterface(name: string): boolean {
  const lines = readFileSync("/proc/self/net/dev", "latin1").split("\n");
  return lines.some((line) => line.trimStart().startsWith(`${name}:`));
}

function ipBatch(prefix: readonly string[], lines: readonly string[]): Promise<string> {
  return runTool([...prefix, ipPath(), "-batch", "-"], `${lines.join("\n")}\n`);
}

/** Debian 12 has it in /sbin and merges that into /usr. */
function ipPath(): string {
  return "/usr/sbin/ip";
}

function dotted(address: number): string {
  return [24, 16, 8, 0].map((shift) => (address >>> shift) & 0xff).join(".");
}
