export { about, type CheckOptions, type Decision, PolicyEngine, type PolicyEngineOptions } from "./engine.ts";
export { PolicyError, type PolicyErrorCode } from "./error.ts";
export { type Explanation, explanationLines, type Operand, redactEnvironment, type Step } from "./explanation.ts";
export { policyInput, type PolicyMethod } from "./input.ts";
export { applyPatch, type Json } from "./json-patch.ts";
export { DEFAULT_LIMITS, type PolicyLimits } from "./limits.ts";
export { PULLED_IMAGE_RULE, REQUEST_RULES, ruleName } from "./rules.ts";
