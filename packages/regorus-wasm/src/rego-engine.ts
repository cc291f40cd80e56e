import { RegoError } from "./error.ts";
import { instantiate, type RegorusExports, Status, Text, type TextCall } from "./exports.ts";
import type { RegorusModule } from "./web-assembly.ts";

/** Runs `work` to its end, or ends it from outside by an exception when it takes too long. */
export type Deadline = <T>(work: () => T) => T;

/** How an engine is made. */
export interface RegoEngineOptions {
  /** Monotonic milliseconds; the execution timer asks it. */
  readonly monotonicMs: () => number;
  /** Parse Rego v0, as policies of older forks are written. Default: v1. */
  readonly regoV0?: boolean;
  /** Bound of one evaluation in milliseconds; 0 or absent: none. */
  readonly limitMs?: number;
  /**
   * Ends calls that the execution timer does not see: it is asked between steps of the interpreter, and one step can
   * take arbitrarily long, as can parsing. It costs the instance. Absent: no such bound.
   */
  readonly deadline?: Deadline;
}

/** What a query came to. */
export interface Evaluation {
  /** The value as JSON text, integers exact, or undefined where the query is undefined, which is not false. */
  readonly value: string | undefined;
  /** What `print` said, each `FILE:LINE: text`. */
  readonly prints: readonly string[];
  /** The outcome in Rust's notation where it is not one boolean or object; otherwise empty. */
  readonly rustDebug: string;
}

const utf8 = new TextDecoder();
const encoder = new TextEncoder();

/**
 * One Rego engine in a WebAssembly instance of its own. Calls are synchronous, and bounded by the execution timer, by
 * the deadline and by the module's memory limit. After a trap the instance is poisoned: every later call throws
 * `poisoned`, and the owner makes a new one.
 */
export class RegoEngine {
  readonly #exports: RegorusExports;
  readonly #handle: number;
  readonly #deadline: Deadline;
  #ended: RegoError | undefined;

  /** Instantiates the compiled module, whose code all instances share. */
  constructor(module: RegorusModule, options: RegoEngineOptions) {
    this.#deadline = options.deadline ?? ((work) => work());
    this.#exports = instantiate(module, options.monotonicMs);
    this.#handle = this.#exports.engine_new(options.regoV0 === true ? 1 : 0, Math.ceil(options.limitMs ?? 0));
  }

  /** The instance ended half-way and has to be replaced. */
  get poisoned(): boolean {
    return this.#ended?.code === "poisoned";
  }

  /** Memory that the instance holds, in bytes. It never gives any back. */
  get memoryBytes(): number {
    return this.#exports.memory.buffer.byteLength;
  }

  /** Parses a module and adds it; returns its package, e.g. `data.agent_policy`. Throws `rego` with the position. */
  addPolicy(fileName: string, rego: string): string {
    this.#call("engine_add_policy", fileName, rego);
    return this.#text(Text.RESULT);
  }

  /** Replaces the data document by a JSON object. */
  setData(json: string): void {
    this.#call("engine_set_data", json);
  }

  /**
   * Evaluates a query such as `data.agent_policy.ExecProcessRequest`. The first one after a change of policy or data
   * compiles, so it also finds what parsing cannot (unsafe variables, conflicting rules).
   */
  evaluate(query: string, inputJson: string): Evaluation {
    const status = this.#call("engine_eval", query, inputJson);
    return {
      value: status === Status.OK ? this.#text(Text.RESULT) : undefined,
      prints: JSON.parse(this.#text(Text.PRINTS)) as string[],
      rustDebug: this.#text(Text.RUST_DEBUG),
    };
  }

  /** Frees the engine. The instance goes with the last reference to it. */
  [Symbol.dispose](): void {
    if (this.#ended !== undefined) return;
    this.#exports.engine_free(this.#handle);
    this.#ended = new RegoError("module", "the engine was disposed of");
  }

  /** Makes a call and returns OK or UNDEFINED. The texts of the answer stay until the next one. */
  #call(name: TextCall, ...texts: readonly string[]): number {
    if (this.#ended !== undefined) throw this.#ended;
    const status = this.#guard(() => {
      const args = texts.flatMap((text) => this.#put(text));
      const status = this.#deadline(() => Reflect.apply(this.#exports[name], null, [this.#handle, ...args]) as number);
      for (let i = 0; i < args.length; i += 2) this.#exports.dealloc(args[i] ?? 0, args[i + 1] ?? 0);
      return status;
    });
    if (status === Status.OK || status === Status.UNDEFINED) return status;
    throw new RegoError(status === Status.TIMEOUT ? "timeout" : "rego", this.#text(Text.RESULT));
  }

  /** Copies a text in. The view is made after the allocation, which may have moved the memory. */
  #put(text: string): [pointer: number, length: number] {
    const bytes = encoder.encode(text);
    const pointer = this.#exports.alloc(bytes.length);
    new Uint8Array(this.#exports.memory.buffer, pointer, bytes.length).set(bytes);
    return [pointer, bytes.length];
  }

  #text(which: number): string {
    const pointer = this.#exports.text_ptr(which);
    return utf8.decode(new Uint8Array(this.#exports.memory.buffer, pointer, this.#exports.text_len(which)));
  }

  /** A trap is a RuntimeError, an overflow of the stack a RangeError, a deadline has its own: all leave it half-way. */
  #guard<T>(work: () => T): T {
    try {
      return work();
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause);
      this.#ended = new RegoError("poisoned", `the policy engine's instance ended: ${reason}`, { cause });
      throw this.#ended;
    }
  }
}
