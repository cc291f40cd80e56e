/**
 * The text between quote marks with the escapes of Rust's `Debug`, as some errors of the real agent arrive (section
 * 1.2, golden-findings 1). Host code looks for the words inside; the marks are part of the wire.
 */
export function debugQuote(text: string): string {
  let out = '"';
  for (const char of text) out += ESCAPES.get(char) ?? (PRINTABLE.test(char) ? char : escape(char));
  return `${out}"`;
}

const ESCAPES: ReadonlyMap<string, string> = new Map([
  ['"', '\\"'],
  ["\\", "\\\\"],
  ["\n", "\\n"],
  ["\r", "\\r"],
  ["\t", "\\t"],
  ["\0", "\\0"],
]);

/** Letters, marks that take room, numbers, punctuation, symbols and the plain space print as they are. */
const PRINTABLE = /^[\p{L}\p{Mc}\p{N}\p{P}\p{S} ]$/u;

function escape(char: string): string {
  return `\\u{${(char.codePointAt(0) ?? 0).toString(16)}}`;
}
