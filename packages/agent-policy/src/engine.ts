import { fromJson, stringifyLossless } from "@nacre/protocols";
import { type CallOptions, compileRegorus, type Evaluation, RegoError } from "regorus-wasm";

import { PolicyError } from "./error.ts";
import type { Explanation } from "./explanation.ts";
import { policyInput } from "./input.ts";
import type { Json } from "./json-patch.ts";
import { boundPrints, DEFAULT_LIMITS, overLimit, type PolicyLimits } from "./limits.ts";
import { LoadedPolicy, type LoadOptions, type Prints } from "./loaded-policy.ts";
import { type About, PolicyState } from "./policy-state.ts";
import { REQUEST_RULES } from "./rules.ts";
import { Turns } from "./turns.ts";
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
  /** Which decisions carry what was printed. Default: refusals. */
  readonly prints?: Prints;
  /** Whether a refusal carries an explanation. Default: no. */
  readonly explain?: boolean;
  /** Gives others their turn between slices of a call. Default: `setImmediate`. */
  readonly turn?: CallOptions["turn"];
}

/** The policy's answer. */
export interface Decision {
  readonly allowed: boolean;
  /** What `print` said on the way, each `FILE:LINE: text`; of which decisions, the engine's options say. */
  readonly prints: string[];
  /** Why not, where the engine explains. It is of this very evaluation, and of the state that this one saw. */
  readonly explanation?: Explanation;
}

/** What is known of a request beside its input. */
export interface CheckOptions extends About {
  readonly signal?: AbortSignal;
}

/** Whose request it is, for the state that the policy keeps of containers by their ids. */
export function about(rule: string, request: object): About {
  const { container_id: container } = request as { readonly container_id?: unknown };
  if (typeof container !== "string") return {};
  return { container, creates: rule === CREATE_RULE, removes: rule === REMOVE_RULE };
}

/** How upstream names a policy that came by SetPolicy; positions in prints begin with it. */
const SET_POLICY_FILE = "agent_policy";
const SET_POLICY_RULE = "SetPolicyRequest";
const CREATE_RULE = "CreateContainerRequest";
const REMOVE_RULE = "RemoveContainerRequest";
const RULE_NAME = /^[A-Za-z_]\w*$/u;
/** The shape of a container's request without content, to compile what the first real one will run. */
const WARM_UP_TYPE = "grpc.CreateContainerRequest";
const WARM_UP_REQUEST = { OCI: { Process: { User: {} }, Root: {}, Mounts: [{}], Linux: {} }, storages: [{}] };

/**
 * The policy in force and its state. The document `{"pstate":…}` is kept here and not in the engine's instances, so an
 * instance that traps is replaced without losing it.
 *
 * Calls run in slices, and others have their turn in between, but one decision is over, with the state that it leaves,
 * before the next one begins.
 */
export class PolicyEngine {
  readonly #options: LoadOptions;
  readonly #explains: boolean;
  readonly #turns = new Turns();
  readonly #loads = new Turns();
  #current: LoadedPolicy | undefined;
  #state: PolicyState = PolicyState.EMPTY;

  private constructor(options: LoadOptions, explains: boolean) {
    this.#options = options;
    this.#explains = explains;
  }

  /** An engine without a policy: until `setPolicy` every check throws. */
  static async create(options: PolicyEngineOptions): Promise<PolicyEngine> {
    const limits = { ...DEFAULT_LIMITS, ...options.limits };
    const load: LoadOptions = {
      module: await compileRegorus(await options.loadWasm()),
      limits,
      monotonicMs: options.monotonicMs ?? ((): number => performance.now()),
      limitMs: limits.evaluationMs,
      deadlineMs: limits.deadlineMs,
      sliceMs: limits.sliceMs,
      regoV0: options.regoV0 ?? false,
      prints: options.prints ?? "refusals",
      ...(options.turn === undefined ? {} : { turn: options.turn }),
    };
    return new PolicyEngine(load, options.explain ?? false);
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
   * Its rules are compiled right after; who asks meanwhile waits for that.
   *
   * @param fileName what positions in prints and errors begin with: the path of a file, absent for SetPolicy.
   */
  setPolicy(text: string, fileName: string = SET_POLICY_FILE): Promise<void> {
    return this.#loads.run(async () => {
      const next = await this.#load(text, fileName);
      await this.#turns.run(async () => void this.#begin(next));
    });
  }

  /**
   * As `setPolicy`, for a policy that a request brings. The policy in force is asked in the same turn in which it is
   * replaced: of two requests that both were allowed, the later one meets the policy of the earlier. Resolves with the
   * digests of both. Throws PolicyError `refused`.
   */
  replacePolicy(text: string): Promise<{ readonly digest: string; readonly replaced: string }> {
    return this.#loads.run(async () => {
      const next = await this.#load(text, SET_POLICY_FILE);
      const replaced = await this.#turns.run(async () => {
        const { allowed } = await this.#check(SET_POLICY_RULE, stringifyLossless({ policy: text }), {});
        if (!allowed) throw new PolicyError("refused", `${SET_POLICY_RULE} is blocked by policy: `);
        return this.#begin(next);
      });
      return { digest: next.digest, replaced };
    });
  }

  async #load(text: string, fileName: string): Promise<LoadedPolicy> {
    const tooLarge = overLimit(text, this.#options.limits);
    if (tooLarge !== undefined) throw new PolicyError("parse", tooLarge);
    try {
      return await LoadedPolicy.load(this.#options, text, fileName, stringifyLossless(PolicyState.EMPTY.document));
    } catch (error) {
      if (error instanceof RegoError) throw new PolicyError("parse", error.message, { cause: error });
      throw error;
    }
  }

  /** Puts it in force, and compiles it as soon as whoever asked for that has gone on. Returns the old one's digest. */
  #begin(next: LoadedPolicy): string {
    const { digest } = this;
    this.#current = next;
    this.#state = PolicyState.EMPTY;
    void this.#turns.run(() => next.compile(REQUEST_RULES));
    return digest;
  }

  /**
   * Asks the rule for this request. Throws PolicyError `evaluation`, `timeout` or `trap` where there is no answer.
   *
   * A policy whose AllowRequestsFailingPolicy is true lets undefined rules and rules that fail through; not a rule that
   * says no, a value that is no answer, or an engine that ended.
   */
  check(rule: string, inputJson: string, options: CheckOptions = {}): Promise<Decision> {
    return this.#turns.run(() => {
      options.signal?.throwIfAborted();
      return this.#check(rule, inputJson, options);
    });
  }

  /** Takes what the policy keeps of a container out of its state: the container is gone, or was never made. */
  forget(container: string): Promise<void> {
    return this.#turns.run(async () => {
      const state = this.#state.without(container);
      if (state !== this.#state && this.#current !== undefined) await this.#keep(this.#current, state);
    });
  }

  /**
   * Whether the policy in force can have a rule of this name: its text has the word. For a rule that policies need not
   * have; one that has it and gives no answer is asked all the same, and refuses.
   */
  mentions(rule: string): boolean {
    return this.#current?.text.includes(rule) ?? false;
  }

  /** Runs the rule once on a made-up request and forgets the result: the first real one finds the code compiled. */
  warmUp(rule: string = CREATE_RULE): Promise<void> {
    return this.#turns.run(async () => {
      const input = policyInput({ requestType: WARM_UP_TYPE }, fromJson(WARM_UP_TYPE, WARM_UP_REQUEST));
      try {
        await this.#current?.warmUp(rule, input);
      } catch (error) {
        if (!(error instanceof RegoError)) throw error;
      }
    });
  }

  async #check(rule: string, inputJson: string, whose: About): Promise<Decision> {
    if (!RULE_NAME.test(rule)) throw new PolicyError("input", `expected the name of a rule, got ${rule}`);
    const current = this.#current;
    if (current === undefined) throw new PolicyError("evaluation", "policy check: no policy is in force");
    let outcome: Evaluation;
    try {
      outcome = await current.ask(rule, inputJson);
    } catch (error) {
      const reason = failure(error);
      if (current.allowFailing && reason.code === "evaluation" && error instanceof RegoError) {
        return { allowed: true, prints: [] };
      }
      throw reason;
    }
    const prints = boundPrints(outcome.prints, this.#options.limits);
    if (outcome.value === undefined && current.allowFailing) return { allowed: true, prints };
    // Upstream lets an explicit no through as well (golden-findings 20). A rule that says no is no failing rule.
    if (await this.#decide(current, outcome, whose)) return { allowed: true, prints };
    const explanation = this.#explains ? await this.#explain(current, rule, inputJson) : undefined;
    return { allowed: false, prints, ...(explanation === undefined ? {} : { explanation }) };
  }

  /** A refusal stands whether or not it can be explained. */
  async #explain(current: LoadedPolicy, rule: string, inputJson: string): Promise<Explanation | undefined> {
    try {
      return await current.explain(rule, inputJson);
    } catch (error) {
      if (error instanceof RegoError) return undefined;
      throw error;
    }
  }

  async #decide(current: LoadedPolicy, { value, rustDebug }: Evaluation, whose: About): Promise<boolean> {
    if (rustDebug !== "") {
      const what = value === undefined ? "len" : "type";
      const outcome = rustDebug.slice(0, this.#options.limits.maxDebugLength);
      throw new PolicyError("evaluation", `policy check: unexpected eval_query result ${what} ${outcome}`);
    }
    const { allowed, ops } = readVerdict(value ?? "");
    if (allowed && ops.length > 0) await this.#keep(current, this.#state.after(ops, whose));
    return allowed;
  }

  /** The new state goes to the engine first: where it does not take it, the old one stays everywhere. */
  async #keep(current: LoadedPolicy, next: PolicyState): Promise<void> {
    const json = asJson(next.document);
    const { maxStateLength } = this.#options.limits;
    if (json.length > maxStateLength) {
      throw new PolicyError("evaluation", `expected a state of at most ${maxStateLength} characters`);
    }
    try {
      await current.setState(json);
    } catch (error) {
      throw failure(error);
    }
    this.#state = next;
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
  if (error instanceof PolicyError) return error;
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
