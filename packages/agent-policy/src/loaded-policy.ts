import { createHash } from "node:crypto";

import {
  type CallOptions,
  type Evaluation,
  RegoEngine,
  RegoError,
  RegoMachine,
  type RegorusModule,
} from "regorus-wasm";

import { PolicyError } from "./error.ts";
import { type Explanation, parseExplanation } from "./explanation.ts";
import type { PolicyLimits } from "./limits.ts";
import { readVerdict } from "./verdict.ts";

/** What policies of one agent have in common. */
export interface LoadOptions extends CallOptions {
  readonly module: RegorusModule;
  readonly limits: PolicyLimits;
  /** Parse policies as Rego v0. */
  readonly regoV0: boolean;
  readonly prints: Prints;
}

/** Which decisions say what was printed on the way. It costs a second evaluation, by the interpreter. */
export type Prints = "never" | "refusals" | "always";

const PACKAGE = "data.agent_policy";
/** A line of a policy that is a table of verdicts, such as images ship, trimmed. */
const TABLE_LINE = /^(?:|#.*|package agent_policy|import rego\.v1|default \w+ := (?:true|false))$/u;
/** How the Rust agent prints the outcome of a rule that is undefined. */
const UNDEFINED = "QueryResults { result: [] }";
const ALLOW_FAILING = "AllowRequestsFailingPolicy";
/**
 * Characters of a policy from which on its rules are compiled: a smaller one is decided by the interpreter in less time
 * than the agent takes for the rest of a request, and the code of compiler and machine would be 4 MB of an idle agent.
 */
const COMPILE_FROM = 8 * 1024;

/**
 * A policy, its rules as programs if it is large, and the state that they see. Requests are decided by the programs; the
 * interpreter is there for what they cannot tell: prints, errors, and rules that have no program. It has the policy's
 * whole syntax tree in memory, and is given up when the programs are made and taken again when it is needed.
 *
 * One call at a time: whoever owns it sees to that.
 */
export class LoadedPolicy {
  readonly text: string;
  readonly fileName: string;
  /** sha256 of the text, lower-case hex. */
  readonly digest: string;
  readonly allowFailing: boolean;
  readonly #options: LoadOptions;
  readonly #programs: Uint8Array[] = [];
  /** Rules that the programs answer for, or find undefined. */
  readonly #compiled = new Set<string>();
  #state: string;
  #interpreter: RegoEngine | undefined;
  /** What the interpreter has of the state. */
  #interpreterState: string;
  #machine: RegoMachine | undefined;
  /** Memory of the instances when they were new, in bytes. */
  #memoryBytes = { interpreter: 0, machine: 0 };

  private constructor(
    options: LoadOptions,
    source: { readonly text: string; readonly fileName: string; readonly state: string },
    interpreter: RegoEngine,
    allowFailing: boolean,
  ) {
    this.#options = options;
    this.text = source.text;
    this.fileName = source.fileName;
    this.digest = createHash("sha256").update(source.text).digest("hex");
    this.allowFailing = allowFailing;
    this.#state = source.state;
    this.#interpreterState = source.state;
    this.#interpreter = interpreter;
    this.#memoryBytes.interpreter = interpreter.memoryBytes;
  }

  /** Throws RegoError for a text that is no policy. */
  static async load(options: LoadOptions, text: string, fileName: string, state: string): Promise<LoadedPolicy> {
    const sliced = isTable(text) ? { ...options, sliceMs: Infinity } : options;
    const interpreter = await interpret(sliced, text, fileName, state);
    // The first query compiles, which finds what parsing cannot, such as unsafe variables.
    await interpreter.evaluate("true", "{}");
    const allowFailing = await askAllowFailing(interpreter);
    return new LoadedPolicy(sliced, { text, fileName, state }, interpreter, allowFailing);
  }

  /**
   * Makes the programs of these rules: one for all, or one each where one of them can only be left to the interpreter.
   */
  async compile(rules: readonly string[]): Promise<void> {
    if (this.text.length < COMPILE_FROM) return;
    if (!(await this.#compile(rules))) for (const rule of rules) await this.#compile([rule]);
    this.#interpreter?.[Symbol.dispose]();
    this.#interpreter = undefined;
    try {
      await this.#machineWithPrograms();
    } catch (error) {
      // The next request tries again and tells.
      if (!(error instanceof RegoError)) throw error;
    }
  }

  /** Whether the rules could be compiled. Code that the compiler does not survive costs the instance and no more. */
  async #compile(rules: readonly string[]): Promise<boolean> {
    try {
      const interpreter = await this.#interpreterWithState();
      const program = await interpreter.compile(rules.map((rule) => `${PACKAGE}.${rule}`));
      if (program !== undefined) this.#programs.push(program);
      for (const rule of rules) this.#compiled.add(rule);
      return true;
    } catch (error) {
      if (error instanceof RegoError) return false;
      throw error;
    }
  }

  /** What the rule says of the input. Throws RegoError; PolicyError where programs and interpreter do not agree. */
  async ask(rule: string, inputJson: string): Promise<Evaluation> {
    if (!this.#compiled.has(rule)) return await this.#interpret(rule, inputJson);
    let value: string | undefined;
    try {
      value = await this.#run(rule, inputJson);
    } catch (error) {
      // What is an error to the interpreter has its text from there.
      if (error instanceof RegoError && error.code === "rego") return await this.#interpret(rule, inputJson);
      throw error;
    }
    if (this.#isEnough(value)) return { value, prints: [], rustDebug: value === undefined ? UNDEFINED : "" };
    const told = await this.#interpret(rule, inputJson);
    if (told.value !== value) throw new PolicyError("evaluation", `policy check: two answers to ${rule}`);
    return told;
  }

  /** Why the rule says no to the input; undefined where that cannot be told. Throws RegoError when it takes too long. */
  async explain(rule: string, inputJson: string): Promise<Explanation | undefined> {
    const interpreter = await this.#interpreterWithState();
    try {
      const json = await interpreter.explain(`${PACKAGE}.${rule}`, inputJson);
      return parseExplanation(rule, this.fileName, json, inputJson);
    } catch (error) {
      if (error instanceof RegoError && error.code === "rego") return undefined;
      throw error;
    }
  }

  /** Runs the rule and forgets what it says, so that the code for it is there. */
  async warmUp(rule: string, inputJson: string): Promise<void> {
    if (this.#compiled.has(rule)) await this.#run(rule, inputJson);
    else await this.#interpret(rule, inputJson);
  }

  /** Throws RegoError for a state that is none; then the old one stays everywhere. */
  async setState(state: string): Promise<void> {
    if (this.#programs.length === 0) {
      const interpreter = await this.#interpreterWithState();
      this.#interpreterState = "";
      await interpreter.setData(state);
      this.#interpreterState = state;
    } else {
      const machine = await this.#machineWithPrograms();
      await machine.setData(state);
    }
    this.#state = state;
  }

  async #run(rule: string, inputJson: string): Promise<string | undefined> {
    const machine = await this.#machineWithPrograms();
    try {
      return await machine.run(`${PACKAGE}.${rule}`, inputJson);
    } finally {
      if (this.#grew(machine.memoryBytes - this.#memoryBytes.machine)) this.#machine = undefined;
    }
  }

  async #interpret(rule: string, inputJson: string): Promise<Evaluation> {
    const interpreter = await this.#interpreterWithState();
    try {
      return await interpreter.evaluate(`${PACKAGE}.${rule}`, inputJson);
    } finally {
      if (this.#grew(interpreter.memoryBytes - this.#memoryBytes.interpreter)) this.#interpreter = undefined;
    }
  }

  /** Whether nothing but the value is wanted. */
  #isEnough(value: string | undefined): boolean {
    const { prints } = this.#options;
    if (prints === "always") return false;
    // What makes no sense beside a yes is noticed by whoever reads it.
    const isSure = value === undefined || value === "true" || value.startsWith('{"allowed":true,"ops":');
    return isSure || isYes(value) || (prints === "never" && value === "false");
  }

  /** An instance never gives memory back; one that took much is replaced by a new one. */
  #grew(bytes: number): boolean {
    return bytes > this.#options.limits.maxGrowthBytes;
  }

  async #machineWithPrograms(): Promise<RegoMachine> {
    if (this.#machine?.poisoned === false) return this.#machine;
    const machine = await RegoMachine.create(this.#options.module, this.#options);
    for (const program of this.#programs) await machine.addProgram(program);
    await machine.setData(this.#state);
    this.#memoryBytes.machine = machine.memoryBytes;
    this.#machine = machine;
    return machine;
  }

  async #interpreterWithState(): Promise<RegoEngine> {
    const { text, fileName } = this;
    if (this.#interpreter?.poisoned !== false) {
      this.#interpreter = await interpret(this.#options, text, fileName, this.#state);
      this.#memoryBytes.interpreter = this.#interpreter.memoryBytes;
    } else if (this.#interpreterState !== this.#state) {
      await this.#interpreter.setData(this.#state);
    }
    this.#interpreterState = this.#state;
    return this.#interpreter;
  }
}

async function interpret(options: LoadOptions, text: string, fileName: string, state: string): Promise<RegoEngine> {
  const interpreter = await RegoEngine.create(options.module, options);
  const packageName = await interpreter.addPolicy(fileName, text);
  if (packageName !== PACKAGE) {
    throw new RegoError("rego", `expected package agent_policy, got ${packageName.replace(/^data\./u, "")}`);
  }
  await interpreter.setData(state);
  return interpreter;
}

/** Whether nothing in the policy can run long. */
function isTable(text: string): boolean {
  return text.split("\n").every((line) => TABLE_LINE.test(line.trim()));
}

/** Asked once a load, with an empty input. Anything but a clear yes is a no; a rule that runs away is thrown. */
async function askAllowFailing(interpreter: RegoEngine): Promise<boolean> {
  try {
    const { value, rustDebug } = await interpreter.evaluate(`${PACKAGE}.${ALLOW_FAILING}`, "{}");
    return value !== undefined && rustDebug === "" && isYes(value);
  } catch (error) {
    if (error instanceof RegoError && error.code === "rego") return false;
    throw error;
  }
}

function isYes(value: string): boolean {
  try {
    return (value === "true" || value.startsWith("{")) && readVerdict(value).allowed;
  } catch (error) {
    if (error instanceof PolicyError) return false;
    throw error;
  }
}
