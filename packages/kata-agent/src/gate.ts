import {
  about,
  type CheckOptions,
  type Decision,
  explanationLines,
  type PolicyEngine,
  PolicyError,
  policyInput,
  PULLED_IMAGE_RULE,
  redactEnvironment,
  ruleName,
} from "@nacre/agent-policy";
import { Code, type MethodDescriptor } from "@nacre/protocols";

import { debugQuote } from "./debug-quote.ts";
import { AgentError, internalError } from "./error.ts";
import { type Disclosure, disclosure, type Flavour, FLAVOUR, startsUnpinned } from "./flavour.ts";
import type { Logger } from "./log.ts";
import { type PulledImage, pulledImageInput } from "./pulled-image.ts";

/** The part of the policy engine that answers questions. */
export type PolicyAnswers = Pick<PolicyEngine, "check" | "mentions">;

type AskOptions = CheckOptions & { readonly signal: AbortSignal };

/** What the gate needs to know of a method. */
export type GatedMethod = Pick<MethodDescriptor<object, object>, "requestType">;

/** The one place where requests meet the policy. */
export class PolicyGate {
  readonly #policy: PolicyAnswers;
  readonly #log: Logger;
  readonly #disclosure: Disclosure;
  readonly #unpinned: boolean;

  constructor(policy: PolicyAnswers, log: Logger, flavour: Flavour = FLAVOUR) {
    this.#policy = policy;
    this.#log = log;
    this.#disclosure = disclosure(flavour);
    this.#unpinned = startsUnpinned(flavour);
  }

  /**
   * Returns when the policy allows the request. Throws PERMISSION_DENIED `"Rule is blocked by policy: prints"` when it
   * refuses and INTERNAL `"Rule: internal error …"` when it has no answer (section 1.2).
   */
  async require(method: GatedMethod, request: object, signal: AbortSignal): Promise<void> {
    const rule = ruleName(method);
    await this.#require(rule, inputOf(method, request), { signal, ...about(rule, request) });
  }

  /**
   * As `require`, of what the guest has pulled for a container (design decision 3). A policy without such a rule says
   * nothing about it; what that means is the flavour's to say.
   */
  async requireImage(pulled: PulledImage, signal: AbortSignal): Promise<void> {
    if (!this.#policy.mentions(PULLED_IMAGE_RULE)) {
      const { container_id, image, manifest_digest } = pulled;
      this.#log.warning("the policy does not say which images may run", { container_id, image, manifest_digest });
      if (this.#unpinned) return;
      throw new AgentError(Code.PERMISSION_DENIED, debugQuote(`${PULLED_IMAGE_RULE} is blocked by policy: `));
    }
    await this.#require(PULLED_IMAGE_RULE, pulledImageInput(pulled), { signal, ...about(PULLED_IMAGE_RULE, pulled) });
  }

  async #require(rule: string, input: string, options: AskOptions): Promise<void> {
    const decision = await this.#ask(rule, input, options);
    if (decision.allowed) return;
    const prints = this.#disclosure.texts ? decision.prints.join(" ") : "";
    this.#log.warning("request refused by the policy", { rule, prints, ...this.#why(decision, input) });
    throw new AgentError(Code.PERMISSION_DENIED, debugQuote(`${rule} is blocked by policy: ${prints}`));
  }

  /** As `require`, for replies that are emptied instead of refused (section 1.3, ReadStdout): no answer counts as no. */
  async allows(method: GatedMethod, request: object, signal: AbortSignal): Promise<boolean> {
    const rule = ruleName(method);
    try {
      return (await this.#ask(rule, inputOf(method, request), { signal, ...about(rule, request) })).allowed;
    } catch (error) {
      if (signal.aborted) throw error;
      this.#log.warning("no answer from the policy, the reply is emptied", { rule });
      return false;
    }
  }

  /** The explanation, for the log alone and only where the host may read that. */
  #why({ explanation }: Decision, input: string): { readonly why?: readonly string[] } {
    if (explanation === undefined || !this.#disclosure.explanations) return {};
    return { why: explanationLines(redactEnvironment(explanation, input)) };
  }

  async #ask(rule: string, input: string, options: AskOptions): Promise<Decision> {
    try {
      return await this.#policy.check(rule, input, options);
    } catch (error) {
      if (options.signal.aborted || !(error instanceof PolicyError)) throw error;
      // An error shows the line of the policy where it came up.
      const told = this.#disclosure.texts ? error.message : error.code;
      this.#log.error("policy evaluation failed", { rule, error: told });
      throw new AgentError(Code.INTERNAL, debugQuote(`${rule}: internal error ${told}`));
    }
  }
}

/** A request that cannot be put into words for the policy is refused before it is asked (section 4.1, CopyFile). */
function inputOf(method: GatedMethod, request: object): string {
  try {
    return policyInput(method, request);
  } catch (error) {
    // The recorded text has this one cause; what the decoder said below it is of no use to the host.
    throw internalError(`parsing ${ruleName(method)} for policy`, error instanceof PolicyError ? error.message : error);
  }
}
