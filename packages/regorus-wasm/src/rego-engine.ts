import { Status, Text } from "./exports.ts";
import { type CallOptions, Instance } from "./instance.ts";
import type { RegorusModule } from "./web-assembly.ts";

/** How an engine is made. */
export interface RegoEngineOptions extends CallOptions {
  /** Parse Rego v0, as policies of older forks are written. Default: v1. */
  readonly regoV0?: boolean;
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

/** A policy with regorus's interpreter, in an instance of its own, and the compiler for the machine. */
export class RegoEngine {
  readonly #instance: Instance;
  readonly #handle: number;

  private constructor(instance: Instance, handle: number) {
    this.#instance = instance;
    this.#handle = handle;
  }

  /** Instantiates the compiled module, whose code all instances share. */
  static async create(module: RegorusModule, options: RegoEngineOptions): Promise<RegoEngine> {
    const instance = new Instance(module, options);
    const limitMs = Math.ceil(options.limitMs ?? 0);
    return new RegoEngine(instance, await instance.number("engine_new", options.regoV0 === true ? 1 : 0, limitMs));
  }

  /** The instance ended half-way and has to be replaced. */
  get poisoned(): boolean {
    return this.#instance.poisoned;
  }

  /** Memory that the instance holds, in bytes. It never gives any back. */
  get memoryBytes(): number {
    return this.#instance.memoryBytes;
  }

  /** Parses a module and adds it; resolves with its package, e.g. `data.agent_policy`. Throws `rego` with the position. */
  async addPolicy(fileName: string, rego: string): Promise<string> {
    await this.#instance.status("engine_add_policy", this.#handle, fileName, rego);
    return this.#instance.text(Text.RESULT);
  }

  /** Replaces the data document by a JSON object. */
  async setData(json: string): Promise<void> {
    await this.#instance.status("engine_set_data", this.#handle, json);
  }

  /**
   * Evaluates a query such as `data.agent_policy.ExecProcessRequest`. The first one after a change of policy or data
   * compiles, so it also finds what parsing cannot (unsafe variables, conflicting rules).
   */
  async evaluate(query: string, inputJson: string): Promise<Evaluation> {
    const status = await this.#instance.status("engine_eval", this.#handle, query, inputJson);
    return {
      value: status === Status.OK ? this.#instance.text(Text.RESULT) : undefined,
      prints: JSON.parse(this.#instance.text(Text.PRINTS)) as string[],
      rustDebug: this.#instance.text(Text.RUST_DEBUG),
    };
  }

  /**
   * A program of rules such as `data.agent_policy.ExecProcessRequest`, for `RegoMachine`. Those that are undefined are
   * not in it; undefined if all are. Throws `rego` with the reason where one can only be left to the interpreter.
   */
  async compile(rules: readonly string[]): Promise<Uint8Array | undefined> {
    const status = await this.#instance.status("engine_compile", this.#handle, rules.join("\n"));
    return status === Status.OK ? this.#instance.bytes(Text.RESULT) : undefined;
  }

  /**
   * Why a rule such as `data.agent_policy.ExecProcessRequest` does not hold: JSON text of an array of
   * {rule, line, text, operands: [{text, value}]}, the way to the condition that failed, outermost first. It comes from a
   * run of the rule's own program. Empty where the rule holds. Throws `rego` where that cannot be told, as for a rule
   * without a program.
   */
  async explain(rule: string, inputJson: string): Promise<string> {
    await this.#instance.status("engine_explain", this.#handle, rule, inputJson);
    return this.#instance.text(Text.RESULT);
  }

  /** Gives the instance up. Its memory goes with the last reference to it. */
  [Symbol.dispose](): void {
    this.#instance.end();
  }
}
