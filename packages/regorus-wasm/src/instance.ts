import { RegoError } from "./error.ts";
import { type Call, instantiate, type RegorusExports, Status, Text } from "./exports.ts";
import { slice } from "./slice.ts";
import type { RegorusModule } from "./web-assembly.ts";

/** How long calls may take, and what they ask for it. */
export interface CallOptions {
  /** Monotonic milliseconds. */
  readonly monotonicMs: () => number;
  /** Bound of one evaluation in milliseconds, after which the instance goes on; 0 or absent: none. */
  readonly limitMs?: number;
  /**
   * Bound of any call in milliseconds, for what the bound of an evaluation does not see: it is looked at between steps,
   * and one step can take arbitrarily long, as can parsing. It costs the instance. Absent: none.
   */
  readonly deadlineMs?: number;
  /**
   * Milliseconds after which others have their turn, of one call or of several that follow on each other without one.
   * Time that a call waits does not count. Infinity: never. Default: 5.
   */
  readonly sliceMs?: number;
  /** Gives others their turn. Default: `setImmediate`. */
  readonly turn?: () => Promise<void>;
}

const SLICE_MS = 5;
/** Room for the texts of most calls, in bytes; it stays from call to call. */
const ROOM = 64 * 1024;

const utf8 = new TextDecoder();
const encoder = new TextEncoder();

/**
 * One WebAssembly instance, with memory of its own. A call runs in slices of a few milliseconds, between which others
 * have their turn; meanwhile no other call may be made. After a trap, an overflow of the stack or a deadline the instance
 * is poisoned: it was left half-way, every later call throws, and the owner makes a new one.
 */
export class Instance {
  readonly #exports: RegorusExports;
  readonly #options: Required<Omit<CallOptions, "limitMs">>;
  #room = 0;
  #busy = false;
  #ended: RegoError | undefined;
  /** Time that calls have waited for their turn, in all. */
  #waitedMs = 0;
  #endsAt = 0;

  constructor(module: RegorusModule, options: CallOptions) {
    this.#options = {
      monotonicMs: options.monotonicMs,
      deadlineMs: options.deadlineMs ?? Infinity,
      sliceMs: options.sliceMs ?? SLICE_MS,
      turn: options.turn ?? ((): Promise<void> => new Promise((resolve) => void setImmediate(resolve))),
    };
    const host = { monotonic_ms: () => this.#now(), pause: () => this.#pause() };
    this.#exports = instantiate(module, host, this.#options.sliceMs < Infinity);
  }

  /** The instance ended half-way and has to be replaced. */
  get poisoned(): boolean {
    return this.#ended?.code === "poisoned";
  }

  /** Memory that the instance holds, in bytes. It never gives any back. */
  get memoryBytes(): number {
    return this.#exports.memory.buffer.byteLength;
  }

  /** Makes a call that takes numbers and gives one. */
  number(name: Call, ...args: readonly number[]): Promise<number> {
    return this.#exclusively(() => this.#exports.calls[name](...args));
  }

  /**
   * Makes a call that takes a handle and texts, and gives a status. Resolves with OK or UNDEFINED; the texts of the
   * answer stay until the next call. What was passed is erased.
   */
  async status(name: Call, handle: number, ...texts: readonly (string | Uint8Array)[]): Promise<number> {
    const status = await this.#exclusively(async () => {
      // Text is at most three bytes a UTF-16 unit: what fits for sure is written where it has to be, without a copy.
      const isSmall = texts.reduce((sum, text) => sum + text.length * (typeof text === "string" ? 3 : 1), 0) <= ROOM;
      const parts = isSmall ? texts : texts.map((text) => (typeof text === "string" ? encoder.encode(text) : text));
      const room = isSmall ? ROOM : parts.reduce((sum, part) => sum + part.length, 0);
      const start = await this.#allocate(room);
      const memory = new Uint8Array(this.#exports.memory.buffer, start, room);
      const args = [handle];
      let length = 0;
      for (const part of parts) {
        const written = write(part, memory.subarray(length));
        args.push(start + length, written);
        length += written;
      }
      const status = await this.#exports.calls[name](...args);
      // A request may hold secrets.
      new Uint8Array(this.#exports.memory.buffer, start, length).fill(0);
      if (room > ROOM) await this.#exports.calls.dealloc(start, room);
      return status;
    });
    if (status === Status.OK || status === Status.UNDEFINED) return status;
    throw new RegoError(status === Status.TIMEOUT ? "timeout" : "rego", this.text(Text.RESULT));
  }

  text(which: number): string {
    return utf8.decode(this.#view(which));
  }

  bytes(which: number): Uint8Array {
    return this.#view(which).slice();
  }

  /** Whatever is called from now on fails: the owner has no more use for it. */
  end(): void {
    this.#ended ??= new RegoError("module", "the engine was disposed of");
  }

  #view(which: number): Uint8Array {
    const { memory } = this.#exports;
    return new Uint8Array(memory.buffer, this.#exports.text_ptr(which), this.#exports.text_len(which));
  }

  async #allocate(length: number): Promise<number> {
    if (length > ROOM) return await this.#exports.calls.alloc(length);
    if (this.#room === 0) this.#room = await this.#exports.calls.alloc(ROOM);
    return this.#room;
  }

  async #exclusively(work: () => Promise<number>): Promise<number> {
    if (this.#ended !== undefined) throw this.#ended;
    if (this.#busy) throw new RegoError("module", "expected the call before to have ended");
    this.#busy = true;
    try {
      slice.enter(this.#options.monotonicMs());
      await this.#giveTurn();
      this.#endsAt = this.#now() + this.#options.deadlineMs;
      return await work();
    } catch (cause) {
      // A trap is a RuntimeError, an overflow of the stack a RangeError, the deadline one of ours.
      const reason = cause instanceof Error ? cause.message : String(cause);
      this.#ended = new RegoError("poisoned", `the policy engine's instance ended: ${reason}`, { cause });
      throw this.#ended;
    } finally {
      this.#busy = false;
    }
  }

  /** Time without that in which others had their turn. */
  #now(): number {
    return this.#options.monotonicMs() - this.#waitedMs;
  }

  /** The module asks whether it may go on. */
  #pause(): Promise<void> | undefined {
    if (this.#now() > this.#endsAt) {
      throw new RegoError("timeout", `the call took longer than ${this.#options.deadlineMs} ms`);
    }
    return this.#giveTurn();
  }

  #giveTurn(): Promise<void> | undefined {
    const { monotonicMs, sliceMs, turn } = this.#options;
    const now = monotonicMs();
    if (slice.usedMs(now) < sliceMs) return undefined;
    return slice.yield(turn, monotonicMs).then(() => {
      this.#waitedMs += monotonicMs() - now;
    });
  }
}

/** Writes text or bytes to the beginning of a place that is large enough; how many bytes these are. */
function write(part: string | Uint8Array, place: Uint8Array): number {
  if (typeof part === "string") return encoder.encodeInto(part, place).written;
  place.set(part);
  return part.length;
}
