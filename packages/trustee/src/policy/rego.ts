import { compileRegorus, RegoEngine, RegoError, type RegorusModule } from "regorus-wasm";

import { TrusteeError } from "../error.ts";

/** Milliseconds of one evaluation; upstream's policies take less than one. */
const LIMIT_MS = 5_000;
/** Milliseconds of one call, also for what the limit above does not see. */
const DEADLINE_MS = 10_000;
/** Bytes of a policy's text; a request's body has at most two million. */
export const MAX_POLICY: number = 4 * 1024 * 1024;

export type { RegorusModule };
export { compileRegorus };

/** What an evaluation is about. */
export interface Question {
  readonly rules: readonly string[];
  /** JSON texts. */
  readonly input: string;
  readonly data: string;
}

/** Values of the rules asked for, as JSON text, in their order; undefined where a rule is. */
export interface Answer {
  readonly values: readonly (string | undefined)[];
  readonly prints: readonly string[];
}

/**
 * A policy's text in an engine of its own. Questions are answered one after the other; one that takes too long costs the
 * engine, not its successors. Rejects with `policy`.
 */
export class RegoPolicy {
  readonly #module: RegorusModule;
  readonly #files: readonly (readonly [name: string, text: string])[];
  #engine: RegoEngine | undefined;
  #data: string | undefined;
  #queue: Promise<unknown> = Promise.resolve();

  /** Files: names for messages, and texts. */
  constructor(module: RegorusModule, files: readonly (readonly [name: string, text: string])[]) {
    this.#module = module;
    this.#files = files;
  }

  ask(question: Question): Promise<Answer> {
    const answer = this.#queue.then(() => this.#ask(question));
    this.#queue = answer.catch(() => {});
    return answer;
  }

  async #ask({ rules, input, data }: Question): Promise<Answer> {
    try {
      const engine = (this.#engine ??= await makeEngine(this.#module, this.#files));
      if (this.#data !== data) {
        await engine.setData(data);
        this.#data = data;
      }
      const values: (string | undefined)[] = [];
      const prints: string[] = [];
      for (const rule of rules) {
        const evaluation = await engine.evaluate(rule, input);
        values.push(evaluation.value);
        prints.push(...evaluation.prints);
      }
      return { values, prints };
    } catch (cause) {
      this.#engine = undefined;
      this.#data = undefined;
      throw cause instanceof RegoError ? new TrusteeError("policy", cause.message, { cause }) : cause;
    }
  }
}

/** Throws `policy-text`, with the engine's own words, where a text is no policy. */
export async function checkPolicy(module: RegorusModule, name: string, text: string): Promise<void> {
  if (Buffer.byteLength(text) > MAX_POLICY)
    throw new TrusteeError("policy-text", `policy: expected at most ${MAX_POLICY} bytes`);
  try {
    using engine = await makeEngine(module, [[name, text]]);
    void engine;
  } catch (cause) {
    throw new TrusteeError("policy-text", cause instanceof Error ? cause.message : "policy: cannot be read", { cause });
  }
}

async function makeEngine(module: RegorusModule, files: readonly (readonly [string, string])[]): Promise<RegoEngine> {
  const options = { monotonicMs: () => performance.now(), limitMs: LIMIT_MS, deadlineMs: DEADLINE_MS };
  const engine = await RegoEngine.create(module, options);
  for (const [name, text] of files) await engine.addPolicy(name, text);
  return engine;
}
