import { chmodSync, closeSync, rmSync } from "node:fs";

import { type DescriptorCalls, Socket, type SocketCalls, type Watch } from "@nacre/kata-sys-util";

/** Read at most so many at a turn of the event loop: a sender without end must not keep everything else waiting. */
const BATCH = 64;

/** A unix datagram socket that only receives; Node has none. */
export class DatagramSocket implements Disposable {
  readonly #fd: number;
  readonly #watch: Watch;

  /**
   * Binds `path` with the mode. `receive` gets the datagrams that are there, up to 64 at once, each cut to `maxBytes`;
   * descriptors that came along are closed by the kernel.
   */
  constructor(
    sys: SocketCalls & DescriptorCalls,
    path: string,
    mode: number,
    maxBytes: number,
    receive: (datagrams: readonly Buffer[]) => void,
  ) {
    rmSync(path, { force: true });
    this.#fd = sys.socket(Socket.AF_UNIX, Socket.DGRAM);
    sys.unixBind(this.#fd, path);
    chmodSync(path, mode);
    const buffer = Buffer.allocUnsafeSlow(maxBytes);
    this.#watch = sys.poll(this.#fd, { readable: true }, () => {
      const batch: Buffer[] = [];
      while (batch.length < BATCH) {
        // Zero bytes are an empty datagram, not an end.
        const count = sys.read(this.#fd, buffer);
        if (count === undefined) break;
        batch.push(Buffer.from(buffer.subarray(0, count)));
      }
      receive(batch);
    });
  }

  [Symbol.dispose](): void {
    this.#watch.close();
    closeSync(this.#fd);
  }
}
