import { type FailureReason, failureReason, isFailureReason, REASON_DOMAIN } from "@nacre/kbs-protocol";
import { Code } from "@nacre/protocols";
import { reasonOf, RpcError } from "@nacre/ttrpc";

import type { HubErrorCode } from "./error.ts";

const REASONS: Readonly<Record<HubErrorCode, FailureReason | undefined>> = {
  agent: "UNREACHABLE",
  // What the agent says of it decides.
  attestation: undefined,
  config: "UNREACHABLE",
  denied: "DENIED",
  malformed: "MALFORMED",
  missing: "MISSING",
  unreachable: "UNREACHABLE",
};

const AWAY: readonly Code[] = [Code.DEADLINE_EXCEEDED, Code.UNAVAILABLE];

/** What a failure means to whoever asked; the innermost error that knows decides. */
export function hubReason(error: unknown): FailureReason | undefined {
  let reason: FailureReason | undefined;
  for (let at = error; at instanceof Error; at = at.cause) reason = reasonOfOne(at) ?? reason;
  return reason;
}

function reasonOfOne(error: Error): FailureReason | undefined {
  // By name: clients of key management services are a bundle with a class of their own.
  if (error.name === "HubError" && "code" in error) return REASONS[error.code as HubErrorCode];
  if (error instanceof RpcError) {
    const said = reasonOf(error, REASON_DOMAIN);
    if (isFailureReason(said)) return said;
    return AWAY.includes(error.code) ? "UNREACHABLE" : undefined;
  }
  if (error.name === "TimeoutError") return "UNREACHABLE";
  return error.name === "KbsProtocolError" ? failureReason(error) : undefined;
}
