import { writeFileSync } from "node:fs";

import type { DescriptorCalls, SocketCalls } from "@nacre/kata-sys-util";

import { BoundedLogFile } from "./bounded-log-file.ts";
import { DatagramSocket } from "./datagram-socket.ts";
import { NvrcError } from "./error.ts";
import type { Log } from "./log.ts";
import { syslogText } from "./syslog-message.ts";

export interface SyslogPaths {
  readonly socket: string;
  readonly file: string;
  readonly queueLength: string;
}

/** The paths of section 1.5. */
export const SYSLOG_PATHS: SyslogPaths = {
  socket: "/dev/log",
  file: "/run/syslog.log",
  queueLength: "/proc/sys/net/unix/max_dgram_qlen",
};

/** Longer messages are cut, as upstream does. */
const MAX_MESSAGE = 4096;
/** Of the file, and again of the one before it: enough to see what a daemon said, nothing to a guest's memory. */
const MAX_FILE = 1024 * 1024;
/** Messages that wait in the kernel until init reads them. With the kernel's 10 a burst makes its sender wait. */
const QUEUE_LENGTH = "512";

/** Resolves when a message with the text arrives; rejects with the signal's reason. */
export type MarkerWait = (text: string, signal: AbortSignal) => Promise<void>;

interface Marker {
  readonly text: string;
  readonly seen: () => void;
}

/**
 * The sink of syslog(3): reads what there is as soon as it is there, keeps it in a bounded file, and tells who waits for
 * a text. Whatever a client sends, it cannot stop init or fill /run.
 */
export class Syslog implements Disposable {
  readonly #log: Log;
  readonly #file: BoundedLogFile;
  readonly #socket: DatagramSocket;
  readonly #markers = new Set<Marker>();
  #told = false;

  /** Listens from now on, until the guest ends. */
  static listen(sys: SocketCalls & DescriptorCalls, log: Log, paths: SyslogPaths = SYSLOG_PATHS): Syslog {
    return new Syslog(sys, log, paths);
  }

  private constructor(sys: SocketCalls & DescriptorCalls, log: Log, paths: SyslogPaths) {
    this.#log = log;
    try {
      // Holds for sockets that are made after it.
      writeFileSync(paths.queueLength, QUEUE_LENGTH);
      this.#file = new BoundedLogFile(paths.file, MAX_FILE);
      // Daemons under accounts of their own write too.
      this.#socket = new DatagramSocket(sys, paths.socket, 0o666, MAX_MESSAGE, (batch) => this.#receive(batch));
    } catch (cause) {
      throw new NvrcError("syslog", `syslog at ${paths.socket}`, { cause });
    }
  }

  /** The next message with this text; those before the call do not count. */
  readonly waitFor: MarkerWait = (text, signal) => {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const marker: Marker = { text, seen: resolve };
    const abandon = (): void => reject(signal.reason as Error);
    if (signal.aborted) abandon();
    signal.addEventListener("abort", abandon, { once: true });
    this.#markers.add(marker);
    return promise.finally(() => {
      this.#markers.delete(marker);
      signal.removeEventListener("abort", abandon);
    });
  };

  [Symbol.dispose](): void {
    this.#socket[Symbol.dispose]();
    this.#file[Symbol.dispose]();
  }

  #receive(datagrams: readonly Buffer[]): void {
    const lines = datagrams.map(syslogText);
    this.#file.append(lines);
    if (this.#file.lost > 0 && !this.#told) {
      this.#told = true;
      this.#log.warn(`${this.#file.path} cannot be written; messages are lost`);
    }
    for (const line of lines) {
      this.#log.debug(line);
      for (const { text, seen } of this.#markers) if (line.includes(text)) seen();
    }
  }
}
