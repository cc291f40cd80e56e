/**
 * How long calls have kept this thread from its event loop, all together: what follows on a call without a turn in between
 * goes on with its slice, whichever instance it is of.
 */
class Slice {
  #sinceMs = 0;
  #open = false;

  /** A call begins; the first one since the event loop had its turn begins the slice, and so does one by another clock. */
  enter(nowMs: number): void {
    if (this.#open && nowMs >= this.#sinceMs) return;
    this.#open = true;
    this.#sinceMs = nowMs;
    setImmediate(() => {
      this.#open = false;
    });
  }

  /** Milliseconds since the slice began. */
  usedMs(nowMs: number): number {
    return nowMs - this.#sinceMs;
  }

  /** Gives others their turn, after which a slice begins. */
  async yield(turn: () => Promise<void>, monotonicMs: () => number): Promise<void> {
    await turn();
    this.#open = false;
    this.enter(monotonicMs());
  }
}

/** There is one event loop, so there is one. */
export const slice: Slice = new Slice();
