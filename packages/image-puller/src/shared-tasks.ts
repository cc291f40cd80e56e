/** Runs one task for all who ask for the same thing at the same time. */
export class SharedTasks<T> {
  readonly #running = new Map<
    string,
    { readonly result: Promise<T>; readonly abort: AbortController; waiting: number }
  >();

  /**
   * The result of the task under `key`, started if none runs. The task's signal is aborted when every caller's has been;
   * a caller who leaves does not wait for that unless it was the last one, so that nothing goes on behind its back.
   */
  async run(key: string, start: (signal: AbortSignal) => Promise<T>, signal?: AbortSignal): Promise<T> {
    signal?.throwIfAborted();
    let task = this.#running.get(key);
    if (task === undefined || task.abort.signal.aborted) {
      await task?.result.catch(() => undefined);
      // Someone else may have been first after the aborted one ended.
      if (this.#running.get(key) !== undefined) return await this.run(key, start, signal);
      const abort = new AbortController();
      const result = start(abort.signal).finally(() => this.#running.delete(key));
      task = { result, abort, waiting: 0 };
      this.#running.set(key, task);
    }
    const joined = task;
    joined.waiting += 1;
    let leave: (() => void) | undefined;
    const left = new Promise<never>((_, reject) => {
      leave = () => {
        joined.waiting -= 1;
        if (joined.waiting === 0) joined.abort.abort(signal?.reason);
        else reject(signal?.reason as Error);
      };
      signal?.addEventListener("abort", leave, { once: true });
    });
    try {
      return await Promise.race([joined.result, left]);
    } finally {
      if (leave !== undefined) signal?.removeEventListener("abort", leave);
    }
  }
}
