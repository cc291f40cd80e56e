import { internalError } from "./error.ts";

/** Events that wait for a reader; older ones go first when a container dies again and again. */
export const MAX_PENDING_OOM_EVENTS = 64;

/**
 * Ids of containers that ran out of memory, for GetOOMEvent: each event goes to one reader, in order. Readers that wait
 * when the sandbox is destroyed get the empty error of the real agent (golden-findings 17).
 */
export class OomEvents {
  readonly #events: string[] = [];
  readonly #readers: Array<{ give(id: string): void; close(): void }> = [];
  #closed = false;

  /** Records that a process of the container was killed for want of memory. */
  add(containerId: string): void {
    if (this.#closed) return;
    const reader = this.#readers.shift();
    if (reader !== undefined) return reader.give(containerId);
    if (this.#events.length === MAX_PENDING_OOM_EVENTS) this.#events.shift();
    this.#events.push(containerId);
  }

  /** The next container id. Rejects with the signal's reason, or INTERNAL once closed. */
  async next(signal: AbortSignal): Promise<string> {
    signal.throwIfAborted();
    if (this.#closed) throw closedError();
    const event = this.#events.shift();
    if (event !== undefined) return event;
    const { promise, resolve, reject } = Promise.withResolvers<string>();
    const reader = { give: resolve, close: () => reject(closedError()) };
    this.#readers.push(reader);
    const aborted = (): void => {
      const index = this.#readers.indexOf(reader);
      if (index !== -1) this.#readers.splice(index, 1);
      reject(signal.reason as Error);
    };
    signal.addEventListener("abort", aborted, { once: true });
    try {
      return await promise;
    } finally {
      signal.removeEventListener("abort", aborted);
    }
  }

  /** Ends every waiting reader; later events are dropped. */
  close(): void {
    this.#closed = true;
    for (const reader of this.#readers.splice(0)) reader.close();
  }
}

function closedError(): Error {
  return internalError('""');
}
