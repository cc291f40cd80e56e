/**
 * What was wrong: the command line, a configuration or initdata (`config`); the platform (`platform`); what a caller asked
 * for (`request`); the event log or what goes with it (`event-log`).
 */
export type AgentErrorCode = "config" | "event-log" | "platform" | "request";

/** The one error of this package. */
export class AgentError extends Error {
  override readonly name: string = "AgentError";
  readonly code: AgentErrorCode;

  constructor(code: AgentErrorCode, message: string, options?: { readonly cause?: unknown }) {
    super(message, options);
    this.code = code;
  }
}

/** A message and those of its causes, as upstream's programs end with them. */
export function lastWords(error: unknown): string {
  const causes: string[] = [];
  for (let at = error; at instanceof Error; at = at.cause) causes.push(at.message);
  const [first = String(error), ...rest] = causes;
  const more = rest.length === 0 ? "" : `\n\nCaused by:\n${rest.map((text) => `    ${text}\n`).join("")}`;
  return `Error: ${first}${more}`;
}
