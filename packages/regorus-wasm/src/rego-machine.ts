import { Status, Text } from "./exports.ts";
import { type CallOptions, Instance } from "./instance.ts";
import type { RegorusModule } from "./web-assembly.ts";

/**
 * Compiled rules and the data that they see, in an instance of its own: fast and small, and silent about everything but
 * a rule's value.
 */
export class RegoMachine {
  readonly #instance: Instance;
  readonly #handle: number;

  private constructor(instance: Instance, handle: number) {
    this.#instance = instance;
    this.#handle = handle;
  }

  static async create(module: RegorusModule, options: CallOptions): Promise<RegoMachine> {
    const instance = new Instance(module, options);
    return new RegoMachine(instance, await instance.number("machine_new", Math.ceil(options.limitMs ?? 0)));
  }

  /** The instance ended half-way and has to be replaced. */
  get poisoned(): boolean {
    return this.#instance.poisoned;
  }

  /** Memory that the instance holds, in bytes. It never gives any back. */
  get memoryBytes(): number {
    return this.#instance.memoryBytes;
  }

  /** Takes a program that `RegoEngine.compile` gave, for all rules that are in it. */
  async addProgram(program: Uint8Array): Promise<void> {
    await this.#instance.status("machine_add_program", this.#handle, program);
  }

  /** Replaces the data document by a JSON object. */
  async setData(json: string): Promise<void> {
    await this.#instance.status("machine_set_data", this.#handle, json);
  }

  /**
   * Runs a rule. Resolves with its value as JSON text, undefined where it is undefined or in no program. Throws `rego` where the machine
   * has no answer, because the rule met what the interpreter calls an error, or for any other reason: the interpreter
   * has it.
   */
  async run(rule: string, inputJson: string): Promise<string | undefined> {
    const status = await this.#instance.status("machine_run", this.#handle, rule, inputJson);
    return status === Status.OK ? this.#instance.text(Text.RESULT) : undefined;
  }

  /** Gives the instance up. Its memory goes with the last reference to it. */
  [Symbol.dispose](): void {
    this.#instance.end();
  }
}
