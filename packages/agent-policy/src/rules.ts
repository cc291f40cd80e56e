import { AgentService } from "@nacre/protocols";

/** Asked by the agent itself after a guest pull, of what was pulled; no host sends it. */
export const PULLED_IMAGE_RULE = "PulledImageRequest";

/** The rule that a request is put to: the name of its message, not of the method (section 1.3). */
export function ruleName(method: { readonly requestType: string }): string {
  return method.requestType.slice(method.requestType.lastIndexOf(".") + 1);
}

/** The rules that requests are put to: 41 for 42 methods, as ReadStdout and ReadStderr share one, and the agent's own. */
export const REQUEST_RULES: readonly string[] = [
  ...new Set([...Object.values(AgentService.methods).map(ruleName), PULLED_IMAGE_RULE]),
];
