import { type FailureReason, isFailureReason, REASON_DOMAIN } from "@nacre/kbs-protocol";
import { reasonOf } from "@nacre/ttrpc";

import { RestError } from "./error.ts";
import { failure, type RestReply, type RestRequest } from "./reply.ts";

/** Statuses of failures for who asks for details; all others, and a malformed name, are upstream's 500. */
export const REASON_STATUS: Readonly<Partial<Record<FailureReason, 403 | 404 | 502>>> = {
  DENIED: 403,
  MISSING: 404,
  UNREACHABLE: 502,
};

/** The query by which a container asks for them: `?errors=detailed`. */
const ERRORS = "errors";
const DETAILED = "detailed";

/** Upstream's sentence with 500; with `?errors=detailed`, why, as JSON: `{"reason":"denied"}`. Causes are for the log. */
export function failureReply(error: unknown, query: RestRequest["query"]): RestReply {
  const text = error instanceof RestError ? error.message : "ttrpc request error";
  const reason = query.get(ERRORS) === DETAILED ? whyOf(error) : undefined;
  const status = reason === undefined ? undefined : REASON_STATUS[reason];
  if (reason === undefined || status === undefined) return failure(500, text);
  return { status, type: "application/json", body: Buffer.from(JSON.stringify({ reason: reason.toLowerCase() })) };
}

function whyOf(error: unknown): FailureReason | undefined {
  if (!(error instanceof RestError)) return undefined;
  if (error.code === "away") return "UNREACHABLE";
  const said = reasonOf(error.cause, REASON_DOMAIN);
  return isFailureReason(said) ? said : undefined;
}
