import { write } from "node:fs";

import { MAX_PENDING_LINES } from "./log-port.ts";

/**
 * Lines on a descriptor, written off the event loop: whoever reads our standard output may stop reading, and the agent
 * must go on. Lines that wait are bounded in number, the oldest go first.
 */
export class DescriptorSink {
  readonly #fd: number;
  readonly #pending: string[] = [];
  #busy: Promise<void> | undefined;

  constructor(fd: number) {
    this.#fd = fd;
  }

  write(line: string): void {
    if (this.#pending.length === MAX_PENDING_LINES) this.#pending.shift();
    this.#pending.push(line);
    this.#busy ??= this.#drain();
  }

  /** Resolves when all lines so far are written. */
  async flush(): Promise<void> {
    await this.#busy;
  }

  async #drain(): Promise<void> {
    // A turn later, so that lines of one turn go in one call.
    await Promise.resolve();
    while (this.#pending.length > 0) {
      let rest = Buffer.from(this.#pending.splice(0).join(""));
      while (rest.length > 0) rest = rest.subarray(await writeSome(this.#fd, rest));
    }
    this.#busy = undefined;
  }
}

/** A descriptor that takes nothing more, such as a closed pipe, swallows what is left: there is nobody to tell. */
function writeSome(fd: number, bytes: Uint8Array): Promise<number> {
  return new Promise((resolve) => {
    write(fd, bytes, (error, written) => {
      resolve(error === null ? written : bytes.length);
    });
  });
}
