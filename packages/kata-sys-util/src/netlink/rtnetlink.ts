import { Family, NetlinkFlag, NetlinkType } from "./constants.ts";
import { type NetlinkCalls, NetlinkSocket } from "./netlink-socket.ts";
import {
  dumpQuestion,
  encodeAddress,
  encodeLinkChange,
  encodeLinkQuestion,
  encodeNeighbour,
  encodeRoute,
  type InterfaceAddress,
  type Link,
  type LinkChange,
  type Neighbour,
  parseAddress,
  parseLink,
  parseRoute,
  type Route,
} from "./rtnetlink-messages.ts";

const REPLACE: number = NetlinkFlag.CREATE | NetlinkFlag.REPLACE;

/** The network of this process's namespace (rtnetlink(7)). Methods reject with SysError: the kernel's errno and words. */
export class Rtnetlink implements Disposable {
  readonly #socket: NetlinkSocket;

  private constructor(socket: NetlinkSocket) {
    this.#socket = socket;
  }

  static open(sys: NetlinkCalls): Rtnetlink {
    return new Rtnetlink(NetlinkSocket.open(sys));
  }

  async links(): Promise<readonly Link[]> {
    const messages = await this.#socket.dump(NetlinkType.RTM_GETLINK, dumpQuestion.links());
    return messages.filter(({ type }) => type === NetlinkType.RTM_NEWLINK).map(({ payload }) => parseLink(payload));
  }

  /** ENODEV where there is none. */
  async link(which: { readonly name: string } | { readonly index: number }): Promise<Link> {
    const messages = await this.#socket.request(NetlinkType.RTM_GETLINK, 0, encodeLinkQuestion(which));
    const found = messages.find(({ type }) => type === NetlinkType.RTM_NEWLINK);
    // The kernel answers a question for one interface by that interface or by an error.
    return parseLink(found?.payload ?? Buffer.alloc(0));
  }

  async setLink(index: number, change: LinkChange): Promise<void> {
    await this.#socket.request(NetlinkType.RTM_SETLINK, 0, encodeLinkChange(index, change));
  }

  async addresses(): Promise<readonly InterfaceAddress[]> {
    const messages = await this.#socket.dump(NetlinkType.RTM_GETADDR, dumpQuestion.addresses());
    return messages.filter(({ type }) => type === NetlinkType.RTM_NEWADDR).map(({ payload }) => parseAddress(payload));
  }

  /** Adds an address, or sets the properties of one that is there. */
  async replaceAddress(index: number, address: Buffer, prefixLength: number): Promise<void> {
    await this.#socket.request(NetlinkType.RTM_NEWADDR, REPLACE, encodeAddress(index, address, prefixLength));
  }

  async deleteAddress(index: number, address: Buffer, prefixLength: number): Promise<void> {
    await this.#socket.request(NetlinkType.RTM_DELADDR, 0, encodeAddress(index, address, prefixLength));
  }

  /** Routes of both families and of all tables: IPv4 first, each in the kernel's order. */
  async routes(): Promise<readonly Route[]> {
    const routes: Route[] = [];
    for (const family of [Family.INET, Family.INET6]) {
      const messages = await this.#socket.dump(NetlinkType.RTM_GETROUTE, dumpQuestion.routes(family));
      for (const { type, payload } of messages) {
        if (type === NetlinkType.RTM_NEWROUTE) routes.push(parseRoute(payload));
      }
    }
    return routes;
  }

  async replaceRoute(route: Route): Promise<void> {
    await this.#socket.request(NetlinkType.RTM_NEWROUTE, REPLACE, encodeRoute(route));
  }

  async replaceNeighbour(neighbour: Neighbour): Promise<void> {
    await this.#socket.request(NetlinkType.RTM_NEWNEIGH, REPLACE, encodeNeighbour(neighbour));
  }

  [Symbol.dispose](): void {
    this.#socket.close();
  }
}
