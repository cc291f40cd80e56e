interface Task<T> {
  readonly result: Promise<T>;
  readonly abort: AbortController;
  waiting: number;
}

/** Runs one task for all who ask for the same thing at the same time. */
export class SharedTasks<T> {
  readonly #running = new Map<string, Task<T>>();

  /**
   * The result of the task under `key`, started if none runs. The task's signal is aborted when every caller's has been;
   * a caller who leaves does not wait for that unless it was the last one, so that nothing goes on behind its back.
   */
  async run(key: string, start: (signal: AbortSignal) => Promise<T>, signal?: AbortSignal): Promise<T> {
    for (;;) {
      // Before anything is begun, and again after every wait.
      signal?.throwIfAborted();
      const task = this.#running.get(key);
      if (task === undefined) return await this.#join(this.#start(key, start), signal);
      if (!task.abort.signal.aborted) return await this.#join(task, signal);
      // One that was given up is still cleaning up after itself.
      await task.result.catch(() => undefined);
    }
  }

  #start(key: string, start: (signal: AbortSignal) => Promise<T>): Task<T> {
    const abort = new AbortController();
    const result = start(abort.signal).finally(() => this.#running.delete(key));
    const task = { result, abort, waiting: 0 };
    this.#running.set(key, task);
    return task;
  }

  async #join(task: Task<T>, signal: AbortSignal | undefined): Promise<T> {
    task.waiting += 1;
    const left = Promise.withResolvers<never>();
    const leave = (): void => {
      task.waiting -= 1;
      if (task.waiting === 0) task.abort.abort(signal?.reason);
      else left.reject(signal?.reason as Error);
    };
    signal?.addEventListener("abort", leave, { once: true });
    try {
      return await Promise.race([task.result, left.promise]);
    } finally {
      signal?.removeEventListener("abort", leave);
    }
  }
}
