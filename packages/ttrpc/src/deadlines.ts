import type { Clock } from "./clock.ts";

/** Something that expires. `at` is in the clock's milliseconds; `slot` belongs to {@link Deadlines}. */
export interface Expiring {
  readonly at: number;
  slot: number;
  expire(): void;
}

/** The longest time one timer of the platform can wait. */
const MAX_TIMER_MS = 0x7fff_ffff;

/**
 * Deadlines of many calls behind one timer: a binary heap whose entries know their place, so that a call that is
 * answered in time costs no timer. The timer is left armed when the earliest entry goes; it then finds nothing due.
 */
export class Deadlines {
  readonly #clock: Clock;
  readonly #heap: Expiring[] = [];
  #cancel: (() => void) | undefined;
  #armedFor = Infinity;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get size(): number {
    return this.#heap.length;
  }

  add(entry: Expiring): void {
    entry.slot = this.#heap.length;
    this.#heap.push(entry);
    this.#up(entry.slot);
    if (entry.at < this.#armedFor) this.#arm(entry.at);
  }

  /** Forgets an entry; one that is not here is ignored. */
  remove(entry: Expiring): void {
    const slot = entry.slot;
    if (slot < 0) return;
    entry.slot = -1;
    const last = this.#heap.pop();
    if (last === undefined || last === entry) return;
    this.#heap[slot] = last;
    last.slot = slot;
    this.#up(slot);
    this.#down(last.slot);
  }

  /** Disarms the timer; for an owner that is done. */
  stop(): void {
    this.#cancel?.();
    this.#cancel = undefined;
    this.#armedFor = Infinity;
  }

  #arm(at: number): void {
    this.#cancel?.();
    this.#armedFor = at;
    const ms = Math.min(Math.max(at - this.#clock.now(), 0), MAX_TIMER_MS);
    // Rounded up: a timer that fires a fraction early would only have to be armed again.
    this.#cancel = this.#clock.after(Math.ceil(ms), () => this.#fire());
  }

  #fire(): void {
    this.#cancel = undefined;
    this.#armedFor = Infinity;
    const now = this.#clock.now();
    for (let first = this.#heap[0]; first !== undefined && first.at <= now; first = this.#heap[0]) {
      this.remove(first);
      first.expire();
    }
    const next = this.#heap[0];
    if (next !== undefined && next.at < this.#armedFor) this.#arm(next.at);
  }

  #up(from: number): void {
    const heap = this.#heap;
    let slot = from;
    const entry = heap[slot] as Expiring;
    while (slot > 0) {
      const above = (slot - 1) >> 1;
      const parent = heap[above] as Expiring;
      if (parent.at <= entry.at) break;
      heap[slot] = parent;
      parent.slot = slot;
      slot = above;
    }
    heap[slot] = entry;
    entry.slot = slot;
  }

  #down(from: number): void {
    const heap = this.#heap;
    let slot = from;
    const entry = heap[slot] as Expiring;
    for (;;) {
      let below = 2 * slot + 1;
      let child = heap[below];
      if (child === undefined) break;
      const right = heap[below + 1];
      if (right !== undefined && right.at < child.at) {
        below++;
        child = right;
      }
      if (entry.at <= child.at) break;
      heap[slot] = child;
      child.slot = slot;
      slot = below;
    }
    heap[slot] = entry;
    entry.slot = slot;
  }
}
