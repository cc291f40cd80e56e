import { type PolicyEngine, PolicyError, policyInput, PULLED_IMAGE_RULE, ruleName } from "@nacre/agent-policy";
import { Code, type MethodDescriptor } from "@nacre/protocols";

import { debugQuote } from "./debug-quote.ts";
import { AgentError, internalError } from "./error.ts";
import { startsUnpinned } from "./flavour.ts";
import type { Logger } from "./log.ts";
import { type PulledImage, pulledImageInput } from "./pulled-image.ts";

/** The part of the policy engine that answers questions. */
export type PolicyAnswers = Pick<PolicyEngine, "check" | "mentions">;

/** What the gate needs to know of a method. */
export type GatedMethod = Pick<MethodDescriptor<object, object>, "requestType">;

/** The one place where requests meet the policy. */
export class PolicyGate {
  readonly #policy: PolicyAnswers;
  readonly #log: Logger;
  readonly #unpinned: boolean;

  constructor(policy: PolicyAnswers, log: Logger, unpinned: boolean = startsUnpinned()) {
    this.#policy = policy;
    this.#log = log;
    this.#unpinned = unpinned;
  }

  /**
   * Returns when the policy allows the request. Throws PERMISSION_DENIED `"Rule is blocked by policy: prints"` when it
   * refuses and INTERNAL `"Rule: internal error …"` when it has no answer (section 1.2).
   */
  async require(method: GatedMethod, request: object, signal: AbortSignal): Promise<void> {
    await this.#require(ruleName(method), inputOf(method, request), signal);
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
    await this.#require(PULLED_IMAGE_RULE, pulledImageInput(pulled), signal);
  }

  async #require(rule: string, input: string, signal: AbortSignal): Promise<void> {
    const { allowed, prints } = await this.#ask(rule, input, signal);
    if (allowed) return;
    this.#log.warning("request refused by the policy", { rule, prints: prints.join(" ") });
    throw new AgentError(Code.PERMISSION_DENIED, debugQuote(`${rule} is blocked by policy: ${prints.join(" ")}`));
  }

  /** As `require`, for replies that are emptied instead of refused (section 1.3, ReadStdout): no answer counts as no. */
  async allows(method: GatedMethod, request: object, signal: AbortSignal): Promise<boolean> {
    const rule = ruleName(method);
    try {
      return (await this.#ask(rule, inputOf(method, request), signal)).allowed;
    } catch (error) {
      if (signal.aborted) throw error;
      this.#log.warning("no answer from the policy, the reply is emptied", { rule });
      return false;
    }
  }

  async #ask(rule: string, input: string, signal: AbortSignal): Promise<{ allowed: boolean; prints: string[] }> {
    try {
      return await this.#policy.check(rule, input, { signal });
    } catch (error) {
      if (signal.aborted || !(error instanceof PolicyError)) throw error;
      this.#log.error("policy evaluation failed", { rule, error: error.message });
      throw new AgentError(Code.INTERNAL, debugQuote(`${rule}: internal error ${error.message}`));
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
