import { createHash } from "node:crypto";

import { fromJson, stringifyLossless } from "@nacre/protocols";
import {
  compileRegorus,
  type Deadline,
  type Evaluation,
  RegoEngine,
  RegoError,
  type RegorusModule,
} from "regorus-wasm";

import { scriptDeadline } from "./deadline.ts";
import { PolicyError } from "./error.ts";
import { policyInput } from "./input.ts";
import { applyPatch, type Json } from "./json-patch.ts";
import { boundPrints, DEFAULT_LIMITS, overLimit, type PolicyLimits } from "./limits.ts";
import { readVerdict } from "./verdict.ts";

/** What the engine needs from outside. */
export interface PolicyEngineOptions {
  /** The bytes of `regorus.wasm`; asked for once. */
  readonly loadWasm: () => Promise<Uint8Array>;
  /** Monotonic milliseconds. Default: `performance.now`. */
  readonly monotonicMs?: () => number;
  readonly limits?: Partial<PolicyLimits>;
  /** Parse policies as Rego v0. Only recorded policies of an older fork need it. */
  readonly regoV0?: boolean;
  /** Ends a call into the engine from outside. Default: by V8, after the limit `deadlineMs`. */
  readonly deadline?: Deadline;
}

/** The policy's answer. */
export interface Decision {
  readonly allowed: boolean;
  /** What `print` said on the way, each `FILE:LINE: text`. */
  readonly prints: string[];
}

/** How upstream names a policy that came by SetPolicy; positions in prints begin with it. */
const SET_POLICY_FILE = "agent_policy";
const PACKAGE = "data.agent_policy";
const ALLOW_FAILING = "AllowRequestsFailingPolicy";
const RULE_NAME = /^[A-Za-z_]\w*$/u;
const EMPTY_STATE = '{"pstate":{}}';
/** The shape of a container's request without content, to compile what the first real one will run. */
const WARM_UP_TYPE = "grpc.CreateContainerRequest";
const WARM_UP_REQUEST = { OCI: { Process: { User: {} }, Root: {}, Mounts: [{}], Linux: {} }, storages: [{}] };

interface InForce {
  readonly engine: RegoEngine;
  readonly text: string;
  readonly fileName: string;
  readonly digest: string;
  readonly allowFailing: boolean;
  /** Memory of the instance when it was new, in bytes. */
  readonly memoryBytes: number;
}

/**
 * The policy in force and its state. The document `{"pstate":…}` is kept here and not in the engine's instance, so an
 * instance that traps is replaced without losing it.
 *
 * An evaluation runs to its end in one turn of the event loop, so nothing comes between a decision and the state that
 * it leaves. The interpreter's timer bounds it, and a deadline from outside what the timer does not see.
 */
export class PolicyEngine {
  readonly #module: RegorusModule;
  readonly #monotonicMs: () => number;
  readonly #limits: PolicyLimits;
  readonly #regoV0: boolean;
  readonly #deadline: Deadline;
  #current: InForce | undefined;
  #state: Json = { pstate: {} };

  private constructor(module: RegorusModule, options: PolicyEngineOptions) {
    this.#module = module;
    this.#monotonicMs = options.monotonicMs ?? ((): number => performance.now());
    this.#limits = { ...DEFAULT_LIMITS, ...options.limits };
    this.#regoV0 = options.regoV0 ?? false;
    this.#deadline = options.deadline ?? scriptDeadline(this.#limits.deadlineMs);
  }

  /** An engine without a policy: until `setPolicy` every check throws. */
  static async create(options: PolicyEngineOptions): Promise<PolicyEngine> {
    return new PolicyEngine(await compileRegorus(await options.loadWasm()), options);
  }

  /** sha256 of the text in force, lower-case hex; empty before the first policy. */
  get digest(): string {
    return this.#current?.digest ?? "";
  }

  /** Whether the policy in force lets requests through that it has no answer for; an explicit no stays a no. */
  get allowRequestsFailingPolicy(): boolean {
    return this.#current?.allowFailing ?? false;
  }

  /**
   * Puts a policy in force and forgets the state of the old one. Throws PolicyError `parse` for one that breaks a
   * limit, does not parse, is not of package `agent_policy` or cannot be evaluated at all (an unsafe variable); then
   * the old policy and its state stay in force, unlike upstream (golden-findings 19).
   *
   * @param fileName what positions in prints and errors begin with: the path of a file, absent for SetPolicy.
   */
  async setPolicy(text: string, fileName: string = SET_POLICY_FILE): Promise<void> {
    const tooLarge = overLimit(text, this.#limits);
    if (tooLarge !== undefined) throw new PolicyError("parse", tooLarge);
    let next: InForce;
    try {
      next = this.#load(text, fileName, EMPTY_STATE);
    } catch (error) {
      if (error instanceof RegoError) throw new PolicyError("parse", error.message, { cause: error });
      throw error;
    }
    this.#current = next;
    this.#state = { pstate: {} };
  }

  /**
   * Asks the rule for this request. Throws PolicyError `evaluation`, `timeout` or `trap` where there is no answer.
   *
   * A policy whose AllowRequestsFailingPolicy is true lets undefined rules, rules that fail and rules that say no
   * through; not a value that is no answer, nor an engine that ended.
   */
  async check(rule: string, inputJson: string, options: { readonly signal?: AbortSignal } = {}): Promise<Decision> {
    options.signal?.throwIfAborted();
    if (!RULE_NAME.test(rule)) throw new PolicyError("input", `expected the name of a rule, got ${rule}`);
    // One that could not be replaced when it ended: what was short then, memory or descriptors, may be there again.
    if (this.#current?.engine.poisoned === true) this.#renew();
    const current = this.#current;
    if (current === undefined) throw new PolicyError("evaluation", "policy check: no policy is in force");
    const { allowFailing } = current;
    let outcome: Evaluation;
    try {
      outcome = current.engine.evaluate(`${PACKAGE}.${rule}`, inputJson);
    } catch (error) {
      this.#renew();
      const reason = failure(error);
      if (allowFailing && reason.code === "evaluation") return { allowed: true, prints: [] };
      throw reason;
    }
    this.#renew();
    const prints = boundPrints(outcome.prints, this.#limits);
    if (outcome.value === undefined && allowFailing) return { allowed: true, prints };
    // Upstream lets an explicit no through as well (golden-findings 20). A rule that says no is no failing rule.
    return { allowed: this.#decide(outcome), prints };
  }

  /** Runs the rule once on a made-up request and forgets the result: the first real one finds the code compiled. */
  async warmUp(rule: string = "CreateContainerRequest"): Promise<void> {
    const input = policyInput({ requestType: WARM_UP_TYPE }, fromJson(WARM_UP_TYPE, WARM_UP_REQUEST));
    try {
      this.#current?.engine.evaluate(`${PACKAGE}.${rule}`, input);
    } catch (error) {
      if (!(error instanceof RegoError)) throw error;
    }
    this.#renew();
  }

  #load(text: string, fileName: string, stateJson: string): InForce {
    const engine = new RegoEngine(this.#module, {
      monotonicMs: this.#monotonicMs,
      limitMs: this.#limits.evaluationMs,
      regoV0: this.#regoV0,
      deadline: this.#deadline,
    });
    const packageName = engine.addPolicy(fileName, text);
    if (packageName !== PACKAGE) {
      throw new RegoError("rego", `expected package agent_policy, got ${packageName.replace(/^data\./u, "")}`);
    }
    engine.setData(stateJson);
    // The first query compiles, which finds what parsing cannot, such as unsafe variables.
    engine.evaluate("true", "{}");
    const digest = createHash("sha256").update(text).digest("hex");
    return { engine, text, fileName, digest, allowFailing: askAllowFailing(engine), memoryBytes: engine.memoryBytes };
  }

  #decide({ value, rustDebug }: Evaluation): boolean {
    if (rustDebug !== "") {
      const what = value === undefined ? "len" : "type";
      const outcome = rustDebug.slice(0, this.#limits.maxDebugLength);
      throw new PolicyError("evaluation", `policy check: unexpected eval_query result ${what} ${outcome}`);
    }
    const { allowed, ops } = readVerdict(value ?? "");
    if (allowed && ops.length > 0) this.#keep(applyPatch(this.#state, ops));
    return allowed;
  }

  /** The new state goes to the engine first: where it does not take it, the old one stays everywhere. */
  #keep(next: Json): void {
    const json = asJson(next);
    if (json.length > this.#limits.maxStateLength) {
      throw new PolicyError("evaluation", `expected a state of at most ${this.#limits.maxStateLength} characters`);
    }
    const engine = this.#current?.engine;
    if (engine === undefined) return;
    try {
      engine.setData(json);
    } catch (error) {
      if (engine.poisoned) this.#renew();
      else engine.setData(stringifyLossless(this.#state));
      throw failure(error);
    }
    this.#state = next;
    setImmediate(() => this.#prepare());
  }

  /**
   * A new state makes the engine compile the policy again at its next query, which takes as long as a small decision.
   * It happens while the request that changed the state is carried out, and not when the next one waits for it.
   */
  #prepare(): void {
    try {
      this.#current?.engine.evaluate("true", "{}");
    } catch (error) {
      // Nobody waits for this query; the next one meets the same error and tells it.
      if (!(error instanceof RegoError)) throw error;
    }
  }

  /** An instance that ended, or that grew and would never give the memory back, is replaced; the state stays. */
  #renew(): void {
    const current = this.#current;
    if (current === undefined) return;
    const { engine, text, fileName, allowFailing, memoryBytes } = current;
    if (!engine.poisoned && engine.memoryBytes - memoryBytes <= this.#limits.maxGrowthBytes) return;
    try {
      const next = this.#load(text, fileName, stringifyLossless(this.#state));
      // That was asked when the policy came; its answer may not depend on what the policy has seen since.
      this.#current = { ...next, allowFailing };
    } catch (error) {
      // An instance that ended answers nothing: every request is refused until a later try succeeds.
      if (!(error instanceof RegoError)) throw error;
    }
  }
}

/** Asked once a load, with an empty input. Anything but a clear yes is a no; a rule that runs away is thrown. */
function askAllowFailing(engine: RegoEngine): boolean {
  try {
    const { value, rustDebug } = engine.evaluate(`${PACKAGE}.${ALLOW_FAILING}`, "{}");
    return value !== undefined && rustDebug === "" && readVerdict(value).allowed;
  } catch (error) {
    if (error instanceof PolicyError || (error instanceof RegoError && error.code === "rego")) return false;
    throw error;
  }
}

function asJson(state: Json): string {
  try {
    return stringifyLossless(state);
  } catch (cause) {
    throw new PolicyError("evaluation", "expected a state that is not nested deeper than JSON may be", { cause });
  }
}

function failure(error: unknown): PolicyError {
  if (!(error instanceof RegoError)) throw error;
  switch (error.code) {
    case "poisoned":
      return new PolicyError("trap", "policy check: the policy engine ended and was replaced", { cause: error });
    case "timeout":
      return new PolicyError("timeout", error.message, { cause: error });
    default:
      return new PolicyError("evaluation", error.message, { cause: error });
  }
}
