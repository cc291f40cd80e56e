import { closeSync } from "node:fs";

import { Socket } from "../constants.ts";
import type { Watch } from "../syscalls.ts";
import { NetlinkProtocol } from "./constants.ts";
import type { NetlinkCalls } from "./netlink-socket.ts";

/** The kernel's words about a device: `add@/devices/…` and its variables. */
export interface Uevent {
  readonly action: string;
  /** Below /sys. */
  readonly devicePath: string;
  /** SUBSYSTEM, INTERFACE, DEVNAME, … */
  readonly variables: ReadonlyMap<string, string>;
}

/** The multicast group of the kernel; the second is udev's. */
const KERNEL_GROUP = 1;
/** The kernel's own bound is 2 KiB of variables and a path. */
const MAX_UEVENT = 8192;

/** Undefined for what is not the kernel's form. */
export function parseUevent(datagram: Buffer): Uevent | undefined {
  const [head = "", ...rest] = datagram.toString("utf8").split("\0");
  const at = head.indexOf("@");
  if (at <= 0 || head[at + 1] !== "/") return undefined;
  const variables = new Map<string, string>();
  for (const line of rest) {
    const equals = line.indexOf("=");
    if (equals > 0) variables.set(line.slice(0, equals), line.slice(equals + 1));
  }
  return { action: head.slice(0, at), devicePath: head.slice(at + 1), variables };
}

/** Hears of devices from its opening on: look at what is there after that, and nothing is missed between. */
export class UeventSocket implements Disposable {
  readonly #fd: number;
  readonly #sys: NetlinkCalls;
  readonly #buffer: Buffer = Buffer.allocUnsafe(MAX_UEVENT);
  #watch: Watch | undefined;

  private constructor(fd: number, sys: NetlinkCalls) {
    this.#fd = fd;
    this.#sys = sys;
  }

  /** Throws SysError. */
  static open(sys: NetlinkCalls): UeventSocket {
    const fd = sys.socket(Socket.AF_NETLINK, Socket.DGRAM, NetlinkProtocol.KOBJECT_UEVENT);
    try {
      sys.netlinkBind(fd, KERNEL_GROUP);
      return new UeventSocket(fd, sys);
    } catch (error) {
      closeSync(fd);
      throw error;
    }
  }

  /** The next event that `wanted` takes. Rejects with the signal's reason, or with SysError. One call at a time. */
  async find(wanted: (event: Uevent) => boolean, signal: AbortSignal): Promise<Uevent> {
    for (;;) {
      signal.throwIfAborted();
      const received = await this.#sys.netlinkReceive(this.#fd, this.#buffer);
      if (received === undefined) {
        await this.#readable(signal);
        continue;
      }
      // Only the kernel is believed; a cut event is none.
      const ours = received.port === 0 && !received.truncated;
      const event = ours ? parseUevent(this.#buffer.subarray(0, received.length)) : undefined;
      if (event !== undefined && wanted(event)) return event;
    }
  }

  [Symbol.dispose](): void {
    this.#watch?.close();
    closeSync(this.#fd);
  }

  async #readable(signal: AbortSignal): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const abort = (): void => reject(signal.reason as Error);
    signal.addEventListener("abort", abort, { once: true });
    // It may have been given up while the socket was read, and what is past is not told to listeners.
    if (signal.aborted) abort();
    this.#watch = this.#sys.poll(this.#fd, { readable: true }, ({ error }) => {
      if (error === undefined) resolve();
      else reject(error);
    });
    try {
      await promise;
    } finally {
      signal.removeEventListener("abort", abort);
      this.#watch.close();
      this.#watch = undefined;
    }
  }
}
