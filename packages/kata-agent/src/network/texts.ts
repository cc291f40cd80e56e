import { SysError } from "@nacre/kata-sys-util";

import { describeErrno } from "../container/index.ts";
import { debugQuote } from "../debug-quote.ts";
import { type AgentError, describeError, internalError } from "../error.ts";

/** What the kernel refused, in the real agent's words, with its own words about it as the cause. */
export function kernelRefusal(error: unknown): Error {
  if (!(error instanceof SysError)) return error instanceof Error ? error : new Error(String(error));
  return rephrased(`Received a netlink error message ${describeErrno(error)}`, error);
}

/** Another text for an error that keeps what caused it. */
export function rephrased(text: string, error: unknown): Error {
  const cause = error instanceof Error ? error.cause : undefined;
  return new Error(text, cause === undefined ? undefined : { cause });
}

/** INTERNAL with the text that the real agent sends: quoted, and the causes inside of the quotes. */
export function networkError(operation: string, error: unknown): AgentError {
  return internalError(debugQuote(`${operation}: ${describeError(error)}`));
}

/** A number in a text as the real agent's parser takes it; throws Error in that parser's words. */
export function parseNumber(text: string, radix: 10 | 16, max: number): number {
  const digits = text.replace(/^\+/, "");
  if (text === "") throw new Error("cannot parse integer from empty string");
  if (!(radix === 10 ? /^[0-9]+$/ : /^[0-9a-fA-F]+$/).test(digits)) throw new Error("invalid digit found in string");
  const value = Number.parseInt(digits, radix);
  if (value > max) throw new Error("number too large to fit in target type");
  return value;
}
