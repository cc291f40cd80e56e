/**
 * First come, first served, one holder. Every container has one for what changes its state; statistics, streams,
 * signals and waits do not take it, so that nothing waits for a slow create (design decision 7).
 */
export class Mutex {
  #held = false;
  readonly #waiting: Array<() => void> = [];

  /**
   * Runs `work` as the only holder. When `signal` aborts while waiting, it rejects with the abort reason and `work`
   * never runs; once it runs, ending early is the work's own affair.
   */
  async run<T>(signal: AbortSignal | undefined, work: () => Promise<T>): Promise<T> {
    await this.#acquire(signal);
    try {
      return await work();
    } finally {
      this.#release();
    }
  }

  #acquire(signal: AbortSignal | undefined): Promise<void> {
    signal?.throwIfAborted();
    if (!this.#held) {
      this.#held = true;
      return Promise.resolve();
    }
    return new Promise((resolve, reject) => {
      const granted = (): void => {
        signal?.removeEventListener("abort", aborted);
        resolve();
      };
      const aborted = (): void => {
        this.#waiting.splice(this.#waiting.indexOf(granted), 1);
        reject(signal?.reason as Error);
      };
      this.#waiting.push(granted);
      signal?.addEventListener("abort", aborted, { once: true });
    });
  }

  #release(): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#held = false;
    else next();
  }
}
