import { availableParallelism } from "node:os";
import { Worker } from "node:worker_threads";
import { PullError } from "../error.ts";
import type { LayerPlan, UnpackedLayer } from "./layer-unpack.ts";
import type { FromWorker, ToWorker } from "./messages.ts";

/** Input on its way to a worker, per layer: enough to keep zlib fed while the network delivers the next part. */
const CHUNK: number = 128 * 1024;
const CHUNKS_PER_LAYER = 4;
/** More threads than this only wait for the disk. */
const MAX_WORKERS = 4;

export interface WorkerPoolOptions {
  /** The worker's entry: `unpack-worker.ts`, or its bundle. */
  readonly workerUrl: URL;
  /** Threads at most. Default: one a core, at most 4. */
  readonly workers?: number;
  /** Flags for Node when the entry is not a bundle. */
  readonly execArgv?: readonly string[];
}

interface Job {
  readonly free: ArrayBuffer[];
  wake: (() => void) | undefined;
  result: UnpackedLayer | undefined;
  failure: PullError | undefined;
}

interface Seat {
  readonly worker: Worker;
  /** Resolves when the thread has come up, or ended before. */
  readonly running: Promise<void>;
  readonly jobs: Map<number, Job>;
}

/**
 * Threads that unpack layers. They start with the first layers and end with `close`; a thread that dies fails its
 * layers and is replaced.
 *
 * Memory is bounded by credits: a layer has four buffers that travel to the worker and back, and the download waits
 * when all are there.
 */
export class WorkerPool implements AsyncDisposable {
  readonly #options: WorkerPoolOptions;
  readonly #limit: number;
  readonly #seats: Seat[] = [];
  #next = 0;

  constructor(options: WorkerPoolOptions) {
    this.#options = options;
    this.#limit = options.workers ?? Math.min(availableParallelism(), MAX_WORKERS);
  }

  /**
   * Starts a thread ahead of its first layer, so that it comes up while the manifest is on its way. Resolves when one
   * runs, and with one that ends at once: the next layer gets another.
   */
  async warm(): Promise<void> {
    await (this.#seats[0] ?? this.#addSeat()).running;
  }

  /**
   * Unpacks one layer from its blob.
   *
   * @throws PullError, and what `blob` throws. When it has thrown, no thread writes to the directory any more.
   */
  async unpack(plan: LayerPlan, blob: AsyncIterable<Uint8Array>, signal?: AbortSignal): Promise<UnpackedLayer> {
    signal?.throwIfAborted();
    const seat = this.#seat();
    const layer = this.#next;
    this.#next += 1;
    const free = Array.from({ length: CHUNKS_PER_LAYER }, () => new ArrayBuffer(CHUNK));
    const job: Job = { free, wake: undefined, result: undefined, failure: undefined };
    seat.jobs.set(layer, job);
    this.#updateRef(seat);
    const send = (message: ToWorker, transfer: readonly ArrayBuffer[] = []): void =>
      seat.worker.postMessage(message, [...transfer]);
    send({ kind: "start", layer, plan });
    try {
      await this.#feed(job, layer, blob, send, signal);
      send({ kind: "end", layer });
      while (job.result === undefined && job.failure === undefined) await pause(job, signal);
      if (job.failure !== undefined) throw job.failure;
      return job.result as UnpackedLayer;
    } catch (error) {
      if (job.failure === undefined && job.result === undefined) {
        send({ kind: "abort", layer });
        while (job.failure === undefined && job.result === undefined) await pause(job);
      }
      throw error;
    } finally {
      seat.jobs.delete(layer);
      this.#updateRef(seat);
    }
  }

  /** Ends the threads; layers being unpacked fail. */
  async close(): Promise<void> {
    const seats = this.#seats.splice(0);
    await Promise.all(seats.map(({ worker }) => worker.terminate()));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #feed(
    job: Job,
    layer: number,
    blob: AsyncIterable<Uint8Array>,
    send: (message: ToWorker, transfer: readonly ArrayBuffer[]) => void,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    let buffer: ArrayBuffer | undefined;
    let view = new Uint8Array(0);
    let filled = 0;
    const flush = (): void => {
      if (buffer !== undefined) send({ kind: "chunk", layer, buffer, length: filled }, [buffer]);
      buffer = undefined;
      filled = 0;
    };
    for await (const chunk of blob) {
      for (let at = 0; at < chunk.length;) {
        while (buffer === undefined) {
          if (job.failure !== undefined) throw job.failure;
          buffer = job.free.pop();
          if (buffer === undefined) await pause(job, signal);
          else view = new Uint8Array(buffer);
        }
        const take = Math.min(chunk.length - at, CHUNK - filled);
        view.set(chunk.subarray(at, at + take), filled);
        at += take;
        filled += take;
        if (filled === CHUNK) flush();
      }
      if (job.failure !== undefined) throw job.failure;
    }
    if (filled > 0) flush();
  }

  /** The thread with the fewest layers, a new one while all are busy and there may be more. */
  #seat(): Seat {
    let best: Seat | undefined;
    for (const seat of this.#seats) if (best === undefined || seat.jobs.size < best.jobs.size) best = seat;
    if (best === undefined || (best.jobs.size > 0 && this.#seats.length < this.#limit)) return this.#addSeat();
    return best;
  }

  #addSeat(): Seat {
    const worker = new Worker(this.#options.workerUrl, {
      name: "unpack",
      // The thread makes few objects that live; a small nursery keeps its memory small.
      resourceLimits: { maxYoungGenerationSizeMb: 2 },
      // The unpacker opens by system call and closes by Node, which would otherwise count the descriptors and warn.
      trackUnmanagedFds: false,
      ...(this.#options.execArgv === undefined ? {} : { execArgv: [...this.#options.execArgv] }),
    });
    const { promise: running, resolve } = Promise.withResolvers<void>();
    worker.once("online", resolve);
    worker.once("exit", () => resolve());
    const seat: Seat = { worker, running, jobs: new Map() };
    worker.on("message", (message: FromWorker) => receive(seat.jobs.get(message.layer), message));
    const lost = (cause?: Error): void => {
      const index = this.#seats.indexOf(seat);
      if (index >= 0) this.#seats.splice(index, 1);
      for (const job of seat.jobs.values()) {
        job.failure ??= new PullError("worker", "the unpack thread ended", { cause });
        job.wake?.();
      }
    };
    worker.on("error", lost);
    worker.on("exit", () => lost());
    this.#seats.push(seat);
    this.#updateRef(seat);
    return seat;
  }

  /** An idle thread does not keep the process alive. */
  #updateRef(seat: Seat): void {
    if (seat.jobs.size > 0) seat.worker.ref();
    else seat.worker.unref();
  }
}

function receive(job: Job | undefined, message: FromWorker): void {
  if (job === undefined) return;
  if (message.kind === "used") job.free.push(message.buffer);
  else if (message.kind === "done") job.result = message.result;
  else job.failure = new PullError(message.code, message.message);
  job.wake?.();
}

/** Waits for the next message about a job. */
async function pause(job: Job, signal?: AbortSignal): Promise<void> {
  let onAbort: (() => void) | undefined;
  try {
    await new Promise<void>((resolve, reject) => {
      job.wake = resolve;
      onAbort = () => reject(signal?.reason as Error);
      signal?.addEventListener("abort", onAbort, { once: true });
      if (signal?.aborted === true) onAbort();
    });
  } finally {
    job.wake = undefined;
    if (onAbort !== undefined) signal?.removeEventListener("abort", onAbort);
  }
}
