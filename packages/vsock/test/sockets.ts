import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Transport } from "@nacre/ttrpc";
import { onTestFinished } from "vitest";

/** A folder for sockets that goes with the test. */
export function folder(): string {
  const dir = mkdtempSync(join(tmpdir(), "nacre-vsock-"));
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

/** A transport whose events a test waits for. */
export class Recorder {
  readonly transport: Transport;
  received: Buffer = Buffer.alloc(0);
  ended = false;
  closed = false;
  drains = 0;
  error: Error | undefined;
  #wake: (() => void) | undefined;

  constructor(transport: Transport) {
    this.transport = transport;
    const wake = (): void => this.#wake?.();
    transport.start({
      data: (chunk) => {
        this.received = Buffer.concat([this.received, chunk]);
        wake();
      },
      end: () => {
        this.ended = true;
        wake();
      },
      close: (err) => {
        this.closed = true;
        this.error = err;
        wake();
      },
      drain: () => {
        this.drains++;
        wake();
      },
    });
  }

  get text(): string {
    return this.received.toString();
  }

  send(text: string): void {
    this.transport.write([Buffer.from(text)]);
  }

  async until(condition: (r: this) => boolean): Promise<this> {
    while (!condition(this)) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#wake = resolve;
      await promise;
    }
    return this;
  }
}

/** A queue of what a listener accepts. */
export class Accepted<T> {
  readonly #items: T[] = [];
  #wake: (() => void) | undefined;

  readonly push = (item: T): void => {
    this.#items.push(item);
    this.#wake?.();
  };

  async next(): Promise<T> {
    for (;;) {
      const item = this.#items.shift();
      if (item !== undefined) return item;
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#wake = resolve;
      await promise;
    }
  }
}
