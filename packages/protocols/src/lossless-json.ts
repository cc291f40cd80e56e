import { JsonError } from "./error.ts";

/** Nesting accepted by default; the policy engine's own reader stops at the same depth. */
export const MAX_JSON_DEPTH = 128;

/**
 * Parses JSON as JSON.parse does, but for three things: an integer beyond 2^53 becomes a bigint instead of being
 * rounded, nesting deeper than `maxDepth` is refused before anything is built, and so is a number too large for a double.
 * Throws JsonError (`syntax`, `depth`, `range`).
 */
export function parseLossless(text: string, maxDepth: number = MAX_JSON_DEPTH): unknown {
  const exact = needsExactNumbers(text, maxDepth);
  try {
    return exact ? JSON.parse(text, exactNumber as (key: string, value: unknown) => unknown) : JSON.parse(text);
  } catch (cause) {
    if (cause instanceof JsonError) throw cause;
    throw new JsonError("syntax", `not JSON: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
  }
}

/**
 * One pass over the text: refuses what is too deep, and finds out whether any number has so many digits, or an exponent,
 * that JSON.parse alone might not keep it. Ordinary documents have none and take the fast path.
 */
function needsExactNumbers(text: string, maxDepth: number): boolean {
  let depth = 0;
  let digits = 0;
  let exact = false;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code >= 0x30 && code <= 0x39) {
      if (++digits > 15) exact = true;
      continue;
    }
    if (digits > 0 && (code === 0x65 || code === 0x45)) exact = true;
    digits = 0;
    if (code === 0x22) i = stringEnd(text, i);
    else if (code === 0x5b || code === 0x7b) {
      if (++depth > maxDepth) throw new JsonError("depth", `JSON nests deeper than ${maxDepth}`);
    } else if (code === 0x5d || code === 0x7d) depth--;
  }
  return exact;
}

/** The index of the quote that ends the string which begins at `start`, or of the end of an unfinished one. */
function stringEnd(text: string, start: number): number {
  let end = start;
  for (;;) {
    end = text.indexOf('"', end + 1);
    if (end < 0) return text.length;
    let slashes = 0;
    while (text.charCodeAt(end - 1 - slashes) === 0x5c) slashes++;
    if (slashes % 2 === 0) return end;
  }
}

function exactNumber(_key: string, value: unknown, context: { readonly source?: string }): unknown {
  if (typeof value !== "number" || Number.isSafeInteger(value)) return value;
  // Also what bounds the work on an integer: a double ends at 309 digits.
  if (!Number.isFinite(value)) throw new JsonError("range", "a number is too large");
  const source = context.source ?? "";
  return /^-?[0-9]+$/.test(source) ? BigInt(source) : value;
}

// A string with none of these is its own JSON but for the quotes.
// oxlint-disable-next-line no-control-regex
const NEEDS_ESCAPE = /["\\\u0000-\u001f\ud800-\udfff]/;

/**
 * The JSON text of a value, as JSON.stringify gives it, with bigints as plain integers. Throws JsonError (`depth`) past
 * `maxDepth`, which a cycle also is.
 */
export function stringifyLossless(value: unknown, maxDepth: number = MAX_JSON_DEPTH): string {
  return write(value, maxDepth) ?? "null";
}

function write(value: unknown, depth: number): string | undefined {
  switch (typeof value) {
    case "string":
      return quote(value);
    case "bigint":
      return String(value);
    case "number":
      return Number.isFinite(value) ? String(value === 0 ? 0 : value) : "null";
    case "boolean":
      return value ? "true" : "false";
    case "object":
      if (value === null) return "null";
      break;
    default:
      return undefined;
  }
  if (depth === 0) throw new JsonError("depth", "value nests too deep to be JSON");
  if (Array.isArray(value)) {
    let out = "[";
    for (let i = 0; i < value.length; i++) {
      if (i > 0) out += ",";
      out += write(value[i], depth - 1) ?? "null";
    }
    return `${out}]`;
  }
  if ("toJSON" in value && typeof value.toJSON === "function") {
    return write((value as { toJSON(): unknown }).toJSON(), depth - 1);
  }
  let out = "{";
  for (const key of Object.keys(value)) {
    const text = write((value as Record<string, unknown>)[key], depth - 1);
    if (text !== undefined) out += `${out.length > 1 ? "," : ""}${quote(key)}:${text}`;
  }
  return `${out}}`;
}

function quote(text: string): string {
  return NEEDS_ESCAPE.test(text) ? JSON.stringify(text) : `"${text}"`;
}
