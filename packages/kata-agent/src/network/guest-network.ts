import { readFileSync } from "node:fs";

import { type NetlinkCalls, Rtnetlink } from "@nacre/kata-sys-util";
import type { Init, types } from "@nacre/protocols";

import { Mutex } from "../container/index.ts";
import { describeError } from "../error.ts";
import type { Logger } from "../log.ts";
import { addNeighbours } from "./add-neighbours.ts";
import { listInterfaces, listRoutes } from "./list.ts";
import { parseMac } from "./mac-address.ts";
import { waitForPciInterface } from "./pci-interface.ts";
import { parsePciPath } from "./pci-path.ts";
import { kernelRefusal, networkError } from "./texts.ts";
import { setMac, updateInterface } from "./update-interface.ts";
import { updateRoutes } from "./update-routes.ts";

export interface GuestNetworkOptions {
  readonly syscalls: NetlinkCalls;
  readonly log: Logger;
  /** How long a card that is being plugged in is waited for. */
  readonly hotplugTimeoutMs: number;
}

/** The network of the guest, which is that of the pod (section 1.3). Changes come one after another. */
export class GuestNetwork {
  readonly #options: GuestNetworkOptions;
  readonly #changes: Mutex = new Mutex();

  constructor(options: GuestNetworkOptions) {
    this.#options = options;
  }

  /** Answers the interface as it was asked for. Throws INTERNAL. */
  async updateInterface(wanted: types.Interface, signal: AbortSignal): Promise<types.Interface> {
    const plugged = wanted.devicePath === "" ? undefined : await this.#plugged(wanted.devicePath, signal);
    await this.#changes.run(signal, () =>
      this.#open("update interface", async (rtnl) => {
        if (plugged !== undefined && wanted.hwAddr !== "") await this.#adoptMac(rtnl, plugged, wanted.hwAddr);
        await updateInterface(rtnl, wanted, ipv6Enabled);
      }),
    );
    return wanted;
  }

  /** Answers the routes that there are then. Throws INTERNAL. */
  updateRoutes(wanted: readonly types.Route[], signal: AbortSignal): Promise<Init<types.Route>[]> {
    return this.#changes.run(signal, async () => {
      await this.#open("Failed to update routes", (rtnl) => updateRoutes(rtnl, wanted));
      return this.#open("Failed to list routes after update", listRoutes);
    });
  }

  /** Throws INTERNAL. */
  addNeighbours(wanted: readonly types.ARPNeighbor[], signal: AbortSignal): Promise<void> {
    return this.#changes.run(signal, () =>
      this.#open("Failed to add ARP neighbours", (rtnl) => addNeighbours(rtnl, wanted)),
    );
  }

  listInterfaces(): Promise<Init<types.Interface>[]> {
    return this.#open("Failed to list interfaces", listInterfaces);
  }

  listRoutes(): Promise<Init<types.Route>[]> {
    return this.#open("list routes", listRoutes);
  }

  /** The name of the interface at a PCI path, once it is there. */
  async #plugged(devicePath: string, signal: AbortSignal): Promise<string> {
    let path;
    try {
      path = parsePciPath(devicePath);
    } catch (error) {
      throw networkError("Invalid PCI path for network interface", error);
    }
    const { hotplugTimeoutMs, syscalls } = this.#options;
    try {
      return await waitForPciInterface(path, hotplugTimeoutMs, signal, syscalls);
    } catch (error) {
      signal.throwIfAborted();
      throw networkError("interface not available", error);
    }
  }

  /** A card of the host's that is handed through has its own address; the pod's is put onto it where that can be. */
  async #adoptMac(rtnl: Rtnetlink, name: string, hwAddr: string): Promise<void> {
    try {
      const mac = parseMac(hwAddr);
      const link = await rtnl.link({ name });
      if (!link.address.equals(mac)) await setMac(rtnl, link, mac);
    } catch (error) {
      this.#options.log.warning("the card at the PCI path keeps its MAC address", {
        interface: name,
        error: describeError(error),
      });
    }
  }

  async #open<T>(operation: string, work: (rtnl: Rtnetlink) => Promise<T>): Promise<T> {
    try {
      using rtnl = Rtnetlink.open(this.#options.syscalls);
      return await work(rtnl);
    } catch (error) {
      throw networkError(operation, kernelRefusal(error));
    }
  }
}

/** As the real agent decides it: IPv6 is off only where both switches say so, or where there is none. */
function ipv6Enabled(): boolean {
  return ["all", "default"].some((which) => {
    try {
      return readFileSync(`/proc/sys/net/ipv6/conf/${which}/disable_ipv6`, "utf8").trim() === "0";
    } catch {
      return false;
    }
  });
}
