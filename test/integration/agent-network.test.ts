import { AgentService, type Init, type MethodDescriptor, type types } from "@nacre/protocols";
import { TtrpcClient } from "@nacre/ttrpc";
import { dial } from "@nacre/vsock";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { Agent } from "../../packages/cli/src/agent.ts";
import { configureNetwork } from "../../packages/cli/src/guest/guest-network.ts";
import { startAgent, type TestAgent } from "../fixtures/agent-harness.ts";
import { ALLOW_ALL } from "../fixtures/agent-requests.ts";

/** What `ip -j` says, as far as it is looked at here. */
interface IpLink {
  readonly ifname: string;
  readonly address: string;
  readonly mtu: number;
  readonly flags: readonly string[];
  readonly addr_info: ReadonlyArray<{
    readonly local: string;
    readonly prefixlen: number;
    readonly broadcast?: string;
  }>;
}
interface IpRoute {
  readonly dst: string;
  readonly dev: string;
  readonly gateway?: string;
  readonly scope?: string;
  readonly protocol?: string;
  readonly flags?: readonly string[];
}

const MAC = (last: number): string => `02:00:00:00:00:0${last}`;

/**
 * Two cards on one switch of the host's, both down, as a hypervisor gives them. They get no link-local addresses: the
 * kernel adds those, and their routes, when it sees the carrier, which is when it likes.
 */
const PREPARE = `
echo 1 > /proc/sys/net/ipv6/conf/default/addr_gen_mode
ip link add host type bridge && ip link set host up
for n in 1 2; do
  ip link add tap$n type veth peer name eth$n address 02:00:00:00:00:0$n
  ip link set tap$n master host up
done
`;

describe("the guest's network", () => {
  let agent: TestAgent;
  let client: TtrpcClient;

  const call = <Req, Res>(method: MethodDescriptor<Req, Res>, request: Init<Req>): Promise<Res> =>
    client.call(method, request);
  const update = (wanted: Init<types.Interface>): Promise<types.Interface> =>
    call(AgentService.methods.UpdateInterface, { interface: { mtu: 1500n, ...wanted } });
  const ip = async <T>(...args: string[]): Promise<T> =>
    JSON.parse((await agent.inside("/usr/sbin/ip", "-j", ...args)) || "[]") as T;
  const links = async (): Promise<Map<string, IpLink>> =>
    new Map((await ip<IpLink[]>("address")).map((link) => [link.ifname, link] as const));
  const ipv4 = (link: IpLink | undefined): string[] =>
    (link?.addr_info ?? []).filter(({ local }) => local.includes(".")).map((a) => `${a.local}/${a.prefixlen}`);

  beforeAll(async () => {
    agent = await startAgent({
      policy: ALLOW_ALL,
      prepare: PREPARE,
      config: 'guest_components_procs = "none"\nhotplug_timeout = { secs = 0, nanos = 1000000 }\n',
    });
    client = new TtrpcClient(await dial(`unix://${agent.socket}`));
  });

  afterAll(async () => {
    client.close();
    await agent.stop();
  });

  it("gives an interface its name, addresses, MTU and flags, found by its MAC address in either case", async () => {
    const wanted = {
      device: "eth0",
      name: "eth0",
      hwAddr: MAC(1).toUpperCase(),
      mtu: 1400n,
      raw_flags: 0x80,
      IPAddresses: [
        { family: 0, address: "192.0.2.2", mask: "24" },
        { family: 1, address: "2001:db8::2", mask: "64" },
      ],
    };
    expect(await update(wanted)).toMatchObject(wanted);
    const eth0 = (await links()).get("eth0");
    expect(eth0).toMatchObject({ address: MAC(1), mtu: 1400 });
    expect(eth0?.flags).toEqual(expect.arrayContaining(["UP", "NOARP"]));
    expect(eth0?.addr_info).toContainEqual(
      expect.objectContaining({ local: "192.0.2.2", prefixlen: 24, broadcast: "192.0.2.255", scope: "global" }),
    );
    expect(eth0?.addr_info).toContainEqual(expect.objectContaining({ local: "2001:db8::2", prefixlen: 64 }));
  });

  it("keeps addresses, and takes back what the next request does not set", async () => {
    await update({ name: "eth0", hwAddr: MAC(1), IPAddresses: [{ address: "192.0.2.3", mask: "24" }] });
    const eth0 = (await links()).get("eth0");
    expect(ipv4(eth0)).toEqual(["192.0.2.2/24", "192.0.2.3/24"]);
    expect(eth0?.mtu).toBe(1500);
    expect(eth0?.flags).not.toContain("NOARP");
  });

  it("swaps names, and both interfaces are up afterwards", async () => {
    await update({ name: "eth0", hwAddr: MAC(2), IPAddresses: [{ address: "198.51.100.2", mask: "24" }] });
    const now = await links();
    expect(now.get("eth0")).toMatchObject({ address: MAC(2) });
    expect(now.get("eth2")).toMatchObject({ address: MAC(1) });
    expect(ipv4(now.get("eth2"))).toEqual(["192.0.2.2/24", "192.0.2.3/24"]);
    for (const name of ["eth0", "eth2"]) expect(now.get(name)?.flags).toContain("UP");
    await update({ name: "eth0", hwAddr: MAC(1) });
    expect((await links()).get("eth2")).toMatchObject({ address: MAC(2) });
  });

  it.each([
    ["a name that is too long", { name: "a-name-longer-than-15-chars", mtu: 1300n }],
    ["an MTU that cannot be", { name: "eth9", mtu: 9_999_999n }],
    ["an MTU that no field holds", { name: "eth9", mtu: 2n ** 40n }],
    ["an MTU that cannot be, with another's name", { name: "eth2", mtu: 9_999_999n }],
    ["an address that is none", { name: "eth9", IPAddresses: [{ address: "banana", mask: "24" }] }],
  ])("leaves everything as it was when refused for %s", async (_, wanted) => {
    const before = await links();
    const addresses = [{ address: "192.0.2.99", mask: "24" }];
    await expect(update({ hwAddr: MAC(1), IPAddresses: addresses, ...wanted })).rejects.toMatchObject({ code: 13 });
    const after = await links();
    expect([...after.keys()].sort()).toEqual([...before.keys()].sort());
    for (const name of ["eth0", "eth2"]) {
      const [was, is] = [before.get(name), after.get(name)];
      expect(is).toMatchObject({ mtu: was?.mtu, address: was?.address });
      expect(is?.flags).toContain("UP");
      expect(ipv4(is)).toEqual(ipv4(was));
    }
  });

  it("gives the interface of the wanted name the MAC address that no other has", async () => {
    await update({ name: "eth2", hwAddr: MAC(9) });
    expect((await links()).get("eth2")).toMatchObject({ address: MAC(9) });
    await update({ name: "eth2", hwAddr: MAC(2) });
    expect((await links()).get("eth2")?.flags).toContain("UP");
  });

  it.each([
    ["by its MAC address", { name: "lo", hwAddr: "00:00:00:00:00:00" }],
    ["by a name that it has", { name: "lo", hwAddr: MAC(1) }],
    ["by an address for its name", { name: "lo", hwAddr: MAC(8) }],
  ])("does not let loopback be changed %s", async (_, wanted) => {
    await expect(update(wanted)).rejects.toMatchObject({
      code: 13,
      message: '"update interface: lo: the loopback interface is not changed"',
    });
    const now = await links();
    expect(now.get("lo")).toMatchObject({ address: "00:00:00:00:00:00", mtu: 65_536 });
    expect(now.get("eth0")).toMatchObject({ address: MAC(1) });
    expect(now.get("eth0")?.flags).toContain("UP");
  });

  it("adds routes, those without a gateway first, and takes none away", async () => {
    await call(AgentService.methods.UpdateRoutes, {
      routes: {
        Routes: [
          { dest: "", gateway: "203.0.113.1", device: "eth0" },
          { dest: "203.0.113.0/24", device: "eth0", scope: 253 },
        ],
      },
    });
    const { Routes } = await call(AgentService.methods.UpdateRoutes, {
      routes: { Routes: [{ dest: "10.7.0.0/16", gateway: "10.9.9.9", device: "eth2", flags: 4, mtu: 1300 }] },
    });
    expect(Routes).toContainEqual(expect.objectContaining({ dest: "0.0.0.0", gateway: "203.0.113.1", device: "eth0" }));
    const routes = await ip<IpRoute[]>("route");
    expect(routes).toContainEqual(expect.objectContaining({ dst: "default", gateway: "203.0.113.1", dev: "eth0" }));
    expect(routes).toContainEqual(expect.objectContaining({ dst: "203.0.113.0/24", dev: "eth0", scope: "link" }));
    expect(routes).toContainEqual(expect.objectContaining({ dst: "10.7.0.0/16", dev: "eth2", flags: ["onlink"] }));
  });

  it("lists what ip lists", async () => {
    const { Interfaces } = await call(AgentService.methods.ListInterfaces, {});
    const shown = Interfaces.map(({ name, mtu, hwAddr, IPAddresses }) => ({
      name,
      mtu: Number(mtu),
      address: hwAddr.toLowerCase(),
      addresses: IPAddresses.map(({ address, mask }) => `${address}/${mask}`).sort(),
    }));
    const known = [...(await links()).values()].map(({ ifname, mtu, address, addr_info }) => ({
      name: ifname,
      mtu,
      address,
      addresses: addr_info.map(({ local, prefixlen }) => `${local}/${prefixlen}`).sort(),
    }));
    expect(shown).toEqual(known);
    // The families are the wrong way round, as callers know them.
    const lo = Interfaces.find(({ name }) => name === "lo");
    expect(lo?.IPAddresses.map(({ address, family }) => [address, family])).toEqual([
      ["127.0.0.1", 1],
      ["::1", 0],
    ]);

    const { Routes } = await call(AgentService.methods.ListRoutes, {});
    const listed = Routes.filter(({ gateway }) => gateway === "").map(({ dest, device }) => `${dest} ${device}`);
    const all = [...(await ip<IpRoute[]>("route")), ...(await ip<IpRoute[]>("-6", "route"))];
    const wanted = all.filter(({ gateway }) => gateway === undefined).map(({ dst, dev }) => `${dst} ${dev}`);
    expect(listed.sort()).toEqual(wanted.map((text) => text.replace(/^([0-9.]+) /, "$1/32 ")).sort());
  });

  it("adds neighbours", async () => {
    await call(AgentService.methods.AddARPNeighbors, {
      neighbors: {
        ARPNeighbors: [
          { toIPAddress: { address: "192.0.2.77" }, device: "eth0", lladdr: "02:00:00:00:00:77" },
          { toIPAddress: { family: 1, address: "2001:db8::77" }, device: "eth0", lladdr: "02:00:00:00:00:77" },
        ],
      },
    });
    const neighbours = await ip<object[]>("neighbour");
    for (const dst of ["192.0.2.77", "2001:db8::77"]) {
      const entry = { dst, dev: "eth0", lladdr: "02:00:00:00:00:77", state: ["PERMANENT"] };
      expect(neighbours).toContainEqual(expect.objectContaining(entry));
    }
  });

  it("says the kernel's own reason beside the error number", async () => {
    const route = { dest: "10.0.0.0/8", gateway: "10.99.99.99", device: "eth2" };
    await expect(call(AgentService.methods.UpdateRoutes, { routes: { Routes: [route] } })).rejects.toMatchObject({
      message: expect.stringContaining("(os error 101))\\n\\nCaused by:\\n    Nexthop has invalid gateway") as unknown,
    });
  });

  it("gives up a card that is not plugged in in time", async () => {
    await expect(update({ name: "eth0", hwAddr: MAC(1), devicePath: "1e" })).rejects.toMatchObject({
      message: expect.stringMatching(/^"interface not available: Timeout after 0.001s waiting for uevent/) as unknown,
    });
  });

  it("is configured by nacre as by a Kata runtime", async () => {
    using nacre = await Agent.connect(`unix://${agent.socket}`);
    await configureNetwork(nacre, {
      mac: MAC(2),
      name: "eth1",
      addresses: ["172.20.0.2/30"],
      gateways: ["172.20.0.1"],
      mtu: 1420,
      neighbours: [{ address: "172.20.0.1", mac: "02:00:00:00:00:aa" }],
    });
    const eth1 = (await links()).get("eth1");
    expect(eth1).toMatchObject({ address: MAC(2), mtu: 1420 });
    expect(ipv4(eth1)).toContain("172.20.0.2/30");
    const routes = await ip<IpRoute[]>("route", "show", "default");
    expect(routes).toContainEqual(expect.objectContaining({ gateway: "172.20.0.1", dev: "eth1" }));
    const neighbours = await ip<object[]>("neighbour", "show", "dev", "eth1");
    expect(neighbours).toContainEqual(expect.objectContaining({ dst: "172.20.0.1", lladdr: "02:00:00:00:00:aa" }));
    await configureNetwork(nacre, { mac: MAC(2), name: "eth2", addresses: [] });
  });

  it("changes one thing after another when asked for many at once", async () => {
    const names = ["eth0", "eth2", "eth0", "eth2", "eth0"];
    await Promise.all(names.map((name) => update({ name, hwAddr: MAC(1) })));
    const now = await links();
    expect(now.get("eth0")).toMatchObject({ address: MAC(1) });
    expect(now.get("eth2")).toMatchObject({ address: MAC(2) });
    expect([...now.keys()].filter((name) => name.startsWith("_temp"))).toEqual([]);
  });
});
