import { REASON_DOMAIN } from "@nacre/kbs-protocol";
import { Code, type ComponentLog } from "@nacre/protocols";
import { errorInfo, messageWithCauses, RpcError } from "@nacre/ttrpc";

import { hubReason } from "./reason.ts";

/** Upstream's mark of every failure's text. */
export const ERROR_MARK = "[CDH] [ERROR]: ";

/**
 * What a failed call answers, and a line of the log: INTERNAL and upstream's sentence, on which callers match; causes
 * follow it, and a reason for programs is in the status's details.
 */
export function failure(log: ComponentLog, text: string, error: unknown): RpcError {
  log("error", text);
  const reason = hubReason(error);
  return new RpcError(Code.INTERNAL, text, { details: reason === undefined ? [] : [errorInfo(REASON_DOMAIN, reason)] });
}

/** The text of a failure: the sentence and the causes. */
export function failureText(sentence: string, error: unknown): string {
  return `${ERROR_MARK}${sentence}: ${messageWithCauses(error)}`;
}
