import type { FileCalls } from "@nacre/kata-sys-util";
import { type LayerBlob, LayerReader } from "./layer-reader.ts";
import { Unpacker } from "./unpacker.ts";

export { MAX_RATIO } from "./layer-reader.ts";

/** What is to be unpacked where. */
export interface LayerPlan extends LayerBlob {
  /** An empty directory of its own, which nobody else looks into before the result is known. */
  readonly directory: string;
}

export interface UnpackedLayer {
  /** Bytes of the archive. */
  readonly size: number;
  readonly entries: number;
  /** The layer hides all that lies below it. */
  readonly opaqueRoot: boolean;
}

/** Unpacks one layer: blob bytes in, files out. Until `finish` has resolved, what lies in the directory is nobody's. */
export class LayerUnpack {
  readonly #unpacker: Unpacker;
  readonly #reader: LayerReader;

  constructor(sys: FileCalls, plan: LayerPlan) {
    this.#unpacker = new Unpacker(sys, plan.directory);
    this.#reader = new LayerReader(plan, this.#unpacker);
  }

  /** Resolves when `chunk` is used up; calls must follow each other. @rejects PullError */
  async feed(chunk: Buffer): Promise<void> {
    await this.#reader.feed(chunk);
  }

  /** @rejects PullError `digest` when either digest is not the expected one. */
  async finish(): Promise<UnpackedLayer> {
    await this.#reader.finish();
    this.#unpacker.finish();
    return { size: this.#reader.size, entries: this.#unpacker.entries, opaqueRoot: this.#unpacker.opaqueRoot };
  }

  /** Gives everything back; after this the directory can be removed. */
  close(): void {
    this.#reader.close();
    this.#unpacker.close();
  }
}
