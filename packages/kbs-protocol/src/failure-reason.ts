import { KbsProtocolError } from "./error.ts";

/** Whose reasons they are, in the details of a failed call's status (google.rpc.ErrorInfo). */
export const REASON_DOMAIN = "guest-components";

/**
 * Why the guest components could not give something: policy or the broker refused it (`DENIED`), there is none
 * (`MISSING`), nobody who has it could be asked (`UNREACHABLE`), or what was asked, or what was found, is not what it
 * should be (`MALFORMED`).
 */
export const FAILURE_REASONS = ["DENIED", "MISSING", "UNREACHABLE", "MALFORMED"] as const;
export type FailureReason = (typeof FAILURE_REASONS)[number];

export function isFailureReason(text: string | undefined): text is FailureReason {
  return (FAILURE_REASONS as readonly (string | undefined)[]).includes(text);
}

/** Brokers answer so where there is no such resource, besides 404. */
const MISSING = "PluginInternalError";

/** What an error of this package, or one that it caused, means to whoever asked; undefined for any other. */
export function failureReason(error: unknown): FailureReason | undefined {
  let at = error;
  while (at instanceof Error && !(at instanceof KbsProtocolError)) at = at.cause;
  if (!(at instanceof KbsProtocolError)) return undefined;
  switch (at.code) {
    case "refused":
      return at.variant === MISSING ? "MISSING" : "DENIED";
    case "not-found":
      return "MISSING";
    case "network":
    case "peer":
      return "UNREACHABLE";
    default:
      return "MALFORMED";
  }
}
