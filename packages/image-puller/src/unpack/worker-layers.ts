import type { FileCalls } from "@nacre/kata-sys-util";
import { describeError, PullError } from "../error.ts";
import { LayerUnpack } from "./layer-unpack.ts";
import type { FromWorker, ToWorker } from "./messages.ts";

/** The worker's side of the messages: runs each layer's steps one after another, several layers side by side. */
export class WorkerLayers {
  readonly #sys: FileCalls;
  readonly #send: (message: FromWorker, transfer?: readonly ArrayBuffer[]) => void;
  readonly #layers = new Map<number, { readonly unpack: LayerUnpack; tail: Promise<void> }>();

  constructor(sys: FileCalls, send: (message: FromWorker, transfer?: readonly ArrayBuffer[]) => void) {
    this.#sys = sys;
    this.#send = send;
  }

  handle(message: ToWorker): void {
    const { layer } = message;
    if (message.kind === "start") {
      try {
        this.#layers.set(layer, { unpack: new LayerUnpack(this.#sys, message.plan), tail: Promise.resolve() });
      } catch (error) {
        this.#fail(layer, error);
      }
      return;
    }
    const entry = this.#layers.get(layer);
    if (entry === undefined) return;
    if (message.kind === "abort") {
      this.#fail(layer, new PullError("worker", "unpacking was cancelled"));
      return;
    }
    entry.tail = entry.tail.then(async () => {
      // What comes after a failure is dropped: the puller learns of it by `failed`.
      if (!this.#layers.has(layer)) return;
      try {
        if (message.kind === "chunk") {
          await entry.unpack.feed(Buffer.from(message.buffer, 0, message.length));
          if (this.#layers.has(layer)) this.#send({ kind: "used", layer, buffer: message.buffer }, [message.buffer]);
        } else {
          const result = await entry.unpack.finish();
          if (!this.#layers.delete(layer)) return;
          entry.unpack.close();
          this.#send({ kind: "done", layer, result });
        }
      } catch (error) {
        this.#fail(layer, error);
      }
    });
  }

  #fail(layer: number, error: unknown): void {
    const entry = this.#layers.get(layer);
    if (entry !== undefined && !this.#layers.delete(layer)) return;
    entry?.unpack.close();
    const code = error instanceof PullError ? error.code : "worker";
    this.#send({ kind: "failed", layer, code, message: describeError(error) });
  }
}
