import { mkdirSync } from "node:fs";
import { dirname } from "node:path";

import type { DescriptorCalls, SocketCalls } from "@nacre/kata-sys-util";

import { DatagramSocket } from "./datagram-socket.ts";

/** Where the agent tells that it is ready: sd_notify(3) by its environment variable, as under systemd. */
export const READY_SOCKET = "/run/nvrc/notify";
const MAX_MESSAGE = 4096;

/** Resolves once, when a datagram with the line `READY=1` has come. */
export class ReadySocket implements Disposable {
  readonly ready: Promise<void>;
  readonly #socket: DatagramSocket;

  constructor(sys: SocketCalls & DescriptorCalls, path: string = READY_SOCKET) {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    const { promise, resolve } = Promise.withResolvers<void>();
    this.ready = promise;
    this.#socket = new DatagramSocket(sys, path, 0o600, MAX_MESSAGE, (batch) => {
      if (batch.some((datagram) => datagram.toString("latin1").split("\n").includes("READY=1"))) resolve();
    });
  }

  [Symbol.dispose](): void {
    this.#socket[Symbol.dispose]();
  }
}
