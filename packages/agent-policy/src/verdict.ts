import { parseLossless } from "@nacre/protocols";

import { PolicyError } from "./error.ts";
import { type Json, kindOf, OPERATIONS, parseOperation } from "./json-patch.ts";
import { members, type Span } from "./json-spans.ts";

/** What a rule's value says. */
export interface Verdict {
  readonly allowed: boolean;
  /** A JSON Patch on the state, to be applied only when allowed. */
  readonly ops: readonly Json[];
}

/**
 * Reads a rule's value: a boolean, or an object {allowed, ops} (section 4). The whole object is read whether it allows
 * or not: a policy that returns nonsense has no answer. Throws PolicyError `evaluation` with the text that upstream's
 * reader gives, columns of the compact JSON included, because it goes to the caller.
 *
 * @param json the value as compact JSON; a boolean or an object.
 */
export function readVerdict(json: string): Verdict {
  if (json === "true" || json === "false") return { allowed: json === "true", ops: [] };
  return readPlain(json) ?? readInDetail(json);
}

/** Undefined where something is wrong, whatever it is. */
function readPlain(json: string): Verdict | undefined {
  try {
    const { allowed, ops } = parse(json) as { readonly allowed?: Json; readonly ops?: Json };
    if (typeof allowed !== "boolean") return undefined;
    if (ops === undefined || ops === null) return { allowed, ops: [] };
    if (!Array.isArray(ops)) return undefined;
    for (const operation of ops) parseOperation(operation);
    return { allowed, ops };
  } catch (error) {
    if (error instanceof PolicyError) return undefined;
    throw error;
  }
}

/** Looks at one member after the other, where each lies, and says what is wrong with the first that is. */
function readInDetail(json: string): Verdict {
  let allowed: boolean | undefined;
  let ops: readonly Json[] = [];
  for (const { key, start, end } of members(json)) {
    const value = parse(json.slice(start, end));
    if (key === "allowed") {
      if (typeof value !== "boolean") throw wrongType(json, value, "a boolean", start, end);
      allowed = value;
    } else if (key === "ops" && value !== null) {
      if (!Array.isArray(value)) throw wrongType(json, value, "a sequence", start, end);
      checkOperations(json, value, start);
      ops = value;
    }
  }
  if (allowed === undefined) throw at(json, "missing field `allowed`", json.length);
  return { allowed, ops };
}

function parse(json: string): Json {
  try {
    return parseLossless(json) as Json;
  } catch (cause) {
    throw new PolicyError("evaluation", `expected a value that is JSON, ${(cause as Error).message}`, { cause });
  }
}

/** Looks at the form of each operation; whether it applies is found out when it is applied. */
function checkOperations(json: string, ops: readonly Json[], start: number): void {
  const spans = members(json, start);
  for (const [i, operation] of ops.entries()) {
    try {
      parseOperation(operation);
    } catch (error) {
      if (!(error instanceof PolicyError)) throw error;
      throw at(json, error.message, whereNoticed(json, operation, spans[i] ?? { key: "", start, end: json.length }));
    }
  }
}

/** Where upstream's reader was when it noticed: the name of the operation is read first, the rest after the whole. */
function whereNoticed(json: string, operation: Json, { start, end }: Span): number {
  if (typeof operation !== "object" || operation === null || Array.isArray(operation)) return end;
  const tag = members(json, start).find(({ key }) => key === "op");
  if (tag === undefined) return end;
  const { op } = operation;
  return typeof op === "string" && OPERATIONS.includes(op) ? end + 1 : tag.end;
}

/** Maps and sequences are noticed at their first character, anything else after its last. */
function wrongType(json: string, value: Json, expected: string, start: number, end: number): PolicyError {
  const nested = typeof value === "object" && value !== null;
  return at(json, `invalid type: ${kindOf(value)}, expected ${expected}`, nested ? start : end);
}

/** Columns count bytes. */
function at(json: string, what: string, index: number): PolicyError {
  return new PolicyError("evaluation", `${what} at line 1 column ${Buffer.byteLength(json.slice(0, index))}`);
}
