import type { Duplex } from "node:stream";

import { NacreError } from "../../error.ts";
import { QmpLines, type QmpMessage } from "./qmp-lines.ts";

interface Pending {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: Error) => void;
}

/** A client of QEMU's machine protocol on a connection that is there already. Commands are answered in order. */
export class QmpClient {
  readonly #stream: Duplex;
  readonly #onEvent: (name: string, data: QmpMessage) => void;
  readonly #pending: Pending[] = [];
  readonly #greeting = Promise.withResolvers<void>();
  #broken: Error | undefined;

  constructor(stream: Duplex, onEvent: (name: string, data: QmpMessage) => void = () => {}) {
    this.#stream = stream;
    this.#onEvent = onEvent;
    this.#greeting.promise.catch(() => {});
    const lines = new QmpLines();
    stream.on("data", (chunk: Buffer) => {
      try {
        for (const message of lines.push(chunk)) this.#take(message);
      } catch (error) {
        this.#fail(error as Error);
        stream.destroy();
      }
    });
    stream.on("error", (error) => this.#fail(error));
    stream.on("close", () => this.#fail(new NacreError("guest", "QMP: the connection is over")));
  }

  /** Takes QEMU's greeting and leaves its negotiation; nothing else works before. */
  async open(): Promise<void> {
    await this.#greeting.promise;
    await this.execute("qmp_capabilities");
  }

  /** Rejects with `guest` where QEMU refuses or is gone. */
  execute(command: string, args?: object): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const fail = (cause: Error): void => reject(new NacreError("guest", `QMP ${command}`, { cause }));
      if (this.#broken !== undefined) return fail(this.#broken);
      this.#pending.push({ resolve, reject: fail });
      this.#stream.write(`${JSON.stringify({ execute: command, arguments: args })}\n`);
    });
  }

  close(): void {
    this.#stream.destroy();
  }

  #take(message: QmpMessage): void {
    if ("QMP" in message) return this.#greeting.resolve();
    if (typeof message["event"] === "string") {
      const { data } = message;
      return this.#onEvent(message["event"], typeof data === "object" && data !== null ? (data as QmpMessage) : {});
    }
    if ("return" in message) this.#pending.shift()?.resolve(message["return"]);
    else if ("error" in message) this.#pending.shift()?.reject(refusal(message["error"]));
  }

  #fail(error: Error): void {
    this.#broken ??= error;
    this.#greeting.reject(this.#broken);
    for (const { reject } of this.#pending.splice(0)) reject(this.#broken);
  }
}

function refusal(error: unknown): NacreError {
  const text = typeof error === "object" && error !== null ? (error as QmpMessage)["desc"] : undefined;
  return new NacreError("guest", typeof text === "string" ? text : "refused");
}
