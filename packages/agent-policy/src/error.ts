/**
 * - `parse`: the policy is not one (syntax, package, unsafe variable, a limit); the old one stays in force. Caller's fault.
 * - `evaluation`: the rule is undefined, failed, or its value or state patch makes no sense. The policy's fault.
 * - `timeout`: the evaluation took longer than its limit and was ended. The policy's fault.
 * - `trap`: the engine's instance ended (memory, stack) and was replaced; the request is refused.
 * - `refused`: the policy in force does not let itself be replaced. The caller's fault.
 * - `input`: the request cannot be put into words for the policy. The caller's fault.
 */
export type PolicyErrorCode = "parse" | "evaluation" | "timeout" | "trap" | "refused" | "input";

/** Why the policy gave no answer. The message is what the wire carries after `internal error `. */
export class PolicyError extends Error {
  readonly code: PolicyErrorCode;

  constructor(code: PolicyErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "PolicyError";
    this.code = code;
  }
}
