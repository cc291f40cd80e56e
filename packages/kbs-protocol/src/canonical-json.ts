import { KbsProtocolError } from "./error.ts";

/** Nesting of a document; runtime data has two levels. */
const MAX_DEPTH = 64;

/**
 * The canonical text of a JSON value (RFC 8785): members sorted by UTF-16 code units, numbers as ECMAScript writes them,
 * no blanks. Both sides hash it, so what has no canonical form is refused rather than approximated. Throws
 * KbsProtocolError `json` for numbers that are no doubles, lone surrogates, values that JSON has not, and depth.
 */
export function canonicalJson(value: unknown): string {
  return write(value, MAX_DEPTH);
}

function write(value: unknown, depth: number): string {
  switch (typeof value) {
    case "string":
      return text(value);
    case "number":
      if (Number.isFinite(value)) return JSON.stringify(value);
      break;
    case "boolean":
      return value ? "true" : "false";
    case "object":
      if (value === null) return "null";
      if (depth === 0) throw new KbsProtocolError("json", `canonical JSON: expected at most ${MAX_DEPTH} levels`);
      if (Array.isArray(value)) return `[${value.map((item) => write(item, depth - 1)).join(",")}]`;
      return object(value as Record<string, unknown>, depth - 1);
    default:
  }
  throw new KbsProtocolError("json", `canonical JSON: expected a JSON value, got ${typeof value}`);
}

function object(value: Record<string, unknown>, depth: number): string {
  // The default order of sort is that of UTF-16 code units.
  const members = Object.keys(value).sort();
  return `{${members.map((name) => `${text(name)}:${write(value[name], depth)}`).join(",")}}`;
}

function text(value: string): string {
  if (!value.isWellFormed())
    throw new KbsProtocolError("json", "canonical JSON: expected Unicode, got half a surrogate");
  return JSON.stringify(value);
}
