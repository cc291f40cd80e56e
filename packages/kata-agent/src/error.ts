import { Code } from "@nacre/protocols";

/** Options of an {@link AgentError}: `cause` is what went wrong below, shown to the caller as "Caused by". */
export interface AgentErrorOptions {
  cause?: unknown;
}

/**
 * A failure with the status code and text that go to the host (spec kata-agent 1.2). Messages hold no secrets and no
 * stack; causes are appended by {@link describeError}.
 */
export class AgentError extends Error {
  readonly code: Code;

  constructor(code: Code, message: string, options: AgentErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "AgentError";
    this.code = code;
  }
}

/** INTERNAL, the code of most handler failures. */
export function internalError(message: string, cause?: unknown): AgentError {
  return new AgentError(Code.INTERNAL, message, { cause });
}

/** INVALID_ARGUMENT: what the host sent cannot be meant. */
export function invalidArgument(message: string, cause?: unknown): AgentError {
  return new AgentError(Code.INVALID_ARGUMENT, message, { cause });
}

/** Causes deeper than this are dropped: a cyclic chain must not hang the reply. */
const MAX_CAUSES = 16;

/** Message and causes in the layout that the real agent sends: the message, then a list under "Caused by:". */
export function describeError(error: unknown): string {
  const message = error instanceof Error ? error.message : typeof error === "string" ? error : "unknown error";
  const causes: string[] = [];
  let cause = error instanceof Error ? error.cause : undefined;
  while (cause !== undefined && cause !== null && causes.length < MAX_CAUSES) {
    causes.push(cause instanceof Error ? cause.message : typeof cause === "string" ? cause : "unknown error");
    cause = cause instanceof Error ? cause.cause : undefined;
  }
  if (causes.length === 0) return message;
  const lines = causes.length === 1 ? causes : causes.map((text, index) => `${index}: ${text}`);
  return `${message}\n\nCaused by:\n${lines.map((line) => `    ${line}`).join("\n")}`;
}
