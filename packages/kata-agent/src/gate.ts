import { type PolicyEngine, PolicyError, policyInput, ruleName } from "@nacre/agent-policy";
import { Code, type MethodDescriptor } from "@nacre/protocols";

import { debugQuote } from "./debug-quote.ts";
import { AgentError, internalError } from "./error.ts";
import type { Logger } from "./log.ts";

/** The part of the policy engine that answers questions. */
export type PolicyAnswers = Pick<PolicyEngine, "check">;

/** What the gate needs to know of a method. */
export type GatedMethod = Pick<MethodDescriptor<object, object>, "requestType">;

/** The one place where requests meet the policy. */
export class PolicyGate {
  readonly #policy: PolicyAnswers;
  readonly #log: Logger;

  constructor(policy: PolicyAnswers, log: Logger) {
    this.#policy = policy;
    this.#log = log;
  }

  /**
   * Returns when the policy allows the request. Throws PERMISSION_DENIED `"Rule is blocked by policy: prints"` when it
   * refuses and INTERNAL `"Rule: internal error …"` when it has no answer (section 1.2).
   */
  async require(method: GatedMethod, request: object, signal: AbortSignal): Promise<void> {
    const rule = ruleName(method);
    const input = inputOf(method, request);
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
