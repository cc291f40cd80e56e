import type { Transport } from "@nacre/ttrpc";
import { listen, siblingAddress } from "@nacre/vsock";

import { takesPeer } from "./flavour.ts";

/** Lines kept for a reader that has not come or is slow; then the oldest go. */
export const MAX_PENDING_LINES = 1024;

/** Lines for one reader at a time: kept until it comes, dropped oldest first when it is slow. */
export class LogBuffer {
  readonly #pending: Uint8Array[] = [];
  #reader: Transport | undefined;
  #full = false;

  write(line: string): void {
    if (this.#pending.length === MAX_PENDING_LINES) this.#pending.shift();
    this.#pending.push(new TextEncoder().encode(line));
    this.#flush();
  }

  /** Gives the lines to a reader. One that comes while another is there is turned away. */
  attach(transport: Transport): void {
    if (this.#reader !== undefined) return transport.destroy();
    this.#reader = transport;
    this.#full = false;
    const gone = (): void => {
      if (this.#reader === transport) this.#reader = undefined;
    };
    transport.start({
      data: () => undefined,
      end: () => transport.end(),
      close: gone,
      drain: () => {
        this.#full = false;
        this.#flush();
      },
    });
    this.#flush();
  }

  #flush(): void {
    while (this.#reader !== undefined && !this.#full && this.#pending.length > 0) {
      this.#full = !this.#reader.write(this.#pending.splice(0));
    }
  }
}

/** Offers the log on `agent.log_vport`. */
export async function listenForLogReader(serverAddress: string, port: number, buffer: LogBuffer): Promise<void> {
  const address = siblingAddress(serverAddress, port);
  if (address === undefined) throw new Error(`the log port ${port} cannot be had beside ${serverAddress}`);
  await listen(address, (transport) => buffer.attach(transport), { vsockPeers: takesPeer });
}
