/**
 * Why a command failed: `usage` (the command line), `environment` (this machine lacks something), `not-found` (no such
 * guest or container), `guest` (the guest did not come up or ended), `agent` (the agent refused, with its code),
 * `input` (a file or JSON that cannot be used), `refused` (evidence or a token that does not hold), `internal`.
 */
export type NacreErrorCode =
  | "usage"
  | "environment"
  | "not-found"
  | "guest"
  | "agent"
  | "input"
  | "refused"
  | "internal";

/** The one error of this package. */
export class NacreError extends Error {
  override readonly name: string = "NacreError";
  readonly code: NacreErrorCode;

  constructor(code: NacreErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/** An error and its causes, on one line. */
export function describeError(error: unknown): string {
  const parts: string[] = [];
  for (let at: unknown = error; at !== undefined && parts.length < 8; at = at instanceof Error ? at.cause : undefined) {
    const text = at instanceof Error ? at.message : JSON.stringify(at);
    if (parts.at(-1)?.includes(text) !== true) parts.push(text);
  }
  return parts.join(": ");
}
