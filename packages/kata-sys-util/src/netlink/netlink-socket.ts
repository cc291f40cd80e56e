import { closeSync } from "node:fs";

import { Socket } from "../constants.ts";
import { Errno } from "../errno.ts";
import { SysError } from "../error.ts";
import type { DescriptorCalls, SocketCalls } from "../syscalls.ts";
import { NetlinkFlag, NetlinkOption, NetlinkProtocol, NetlinkType } from "./constants.ts";
import { encodeMessage, type NetlinkMessage, parseAck, parseMessages } from "./message.ts";

export type NetlinkCalls = Pick<
  DescriptorCalls & SocketCalls,
  "socket" | "setSocketOption" | "netlinkBind" | "netlinkSend" | "netlinkReceive" | "poll"
>;

/** What the kernel puts into one datagram of a dump is at most 32 KiB; one interface can need more. */
export const MAX_DATAGRAM = 65_536;

/** Bound on what one dump may bring: tens of thousands of routes, far beyond what a reply to the host could hold. */
export const MAX_DUMP_BYTES: number = 16 * 1024 * 1024;

/** A table that changes while it is read is read again, this many times. */
const MAX_DUMP_TRIES = 8;

/** A rtnetlink socket: questions and changes, one after another. */
export class NetlinkSocket implements Disposable {
  readonly #fd: number;
  readonly #sys: NetlinkCalls;
  readonly #buffer: Buffer = Buffer.allocUnsafe(MAX_DATAGRAM);
  #sequence = 0;
  #last: Promise<unknown> = Promise.resolve();

  private constructor(fd: number, sys: NetlinkCalls) {
    this.#fd = fd;
    this.#sys = sys;
  }

  /** Throws SysError. */
  static open(sys: NetlinkCalls): NetlinkSocket {
    const fd = sys.socket(Socket.AF_NETLINK, Socket.RAW, NetlinkProtocol.ROUTE);
    try {
      sys.netlinkBind(fd, 0);
      // The kernel's own words about a refusal, and without a copy of our request.
      sys.setSocketOption(fd, NetlinkOption.SOL_NETLINK, NetlinkOption.NETLINK_EXT_ACK, 1);
      sys.setSocketOption(fd, NetlinkOption.SOL_NETLINK, NetlinkOption.NETLINK_CAP_ACK, 1);
      return new NetlinkSocket(fd, sys);
    } catch (error) {
      closeSync(fd);
      throw error;
    }
  }

  /** A change, or a question for one object: what came before the acknowledgement. Rejects with SysError. */
  request(type: number, flags: number, payload: Buffer): Promise<readonly NetlinkMessage[]> {
    return this.#inTurn(() => this.#exchange(type, NetlinkFlag.REQUEST | NetlinkFlag.ACK | flags, payload));
  }

  /** Everything of a kind. Rejects with SysError, EBUSY where the table does not stand still. */
  dump(type: number, payload: Buffer): Promise<readonly NetlinkMessage[]> {
    return this.#inTurn(async () => {
      for (let tries = 0; tries < MAX_DUMP_TRIES; tries += 1) {
        const messages = await this.#exchange(type, NetlinkFlag.REQUEST | NetlinkFlag.DUMP, payload);
        if (messages.every(({ flags }) => (flags & NetlinkFlag.DUMP_INTR) === 0)) return messages;
      }
      throw new SysError("EBUSY", Errno.EBUSY, "netlink", `netlink: expected a table that stands still, type ${type}`);
    });
  }

  close(): void {
    closeSync(this.#fd);
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#last.then(work);
    this.#last = turn.catch(() => undefined);
    return turn;
  }

  async #exchange(type: number, flags: number, payload: Buffer): Promise<NetlinkMessage[]> {
    this.#sequence = (this.#sequence + 1) >>> 0;
    const sequence = this.#sequence;
    await this.#sys.netlinkSend(this.#fd, encodeMessage({ type, flags, sequence, port: 0, payload }));
    const collected: NetlinkMessage[] = [];
    for (let bytes = 0; ;) {
      for (const message of parseMessages(await this.#receive())) {
        // The rest of an exchange that was given up.
        if (message.sequence !== sequence) continue;
        if (message.type === NetlinkType.NLMSG_NOOP) continue;
        if (message.type === NetlinkType.NLMSG_ERROR || message.type === NetlinkType.NLMSG_DONE) {
          const { errno, text } = parseAck(message);
          if (errno !== 0) throw refusal(errno, type, text);
          return collected;
        }
        bytes += message.payload.length;
        if (bytes > MAX_DUMP_BYTES) throw refusal(Errno.EMSGSIZE, type, `more than ${MAX_DUMP_BYTES} bytes`);
        collected.push({ ...message, payload: Buffer.from(message.payload) });
      }
    }
  }

  /** The next datagram of the kernel's; a process with CAP_NET_ADMIN in this network could send us others. */
  async #receive(): Promise<Buffer> {
    for (;;) {
      const received = await this.#sys.netlinkReceive(this.#fd, this.#buffer);
      if (received === undefined) await this.#readable();
      else if (received.truncated) throw refusal(Errno.EMSGSIZE, 0, `a datagram above ${MAX_DATAGRAM} bytes`);
      else if (received.port === 0) return this.#buffer.subarray(0, received.length);
    }
  }

  async #readable(): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const watch = this.#sys.poll(this.#fd, { readable: true }, ({ error }) => {
      if (error === undefined) resolve();
      else reject(error);
    });
    try {
      await promise;
    } finally {
      watch.close();
    }
  }
}

function refusal(errno: number, type: number, text: string | undefined): SysError {
  const { code } = SysError.fromErrno(errno, "netlink");
  const options = text === undefined ? {} : { cause: new Error(text) };
  return new SysError(code, errno, "netlink", `netlink: ${code}, type ${type}`, options);
}
