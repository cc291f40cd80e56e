/** Where a member or element of a JSON text lies: `text.slice(start, end)` is its value. */
export interface Span {
  /** The member's name; empty for an element of an array. */
  readonly key: string;
  readonly start: number;
  readonly end: number;
}

/** The members of the object, or elements of the array, that begins at `from` of a valid, compact JSON text. */
export function members(text: string, from = 0): readonly Span[] {
  const spans: Span[] = [];
  const object = text[from] === "{";
  let at = from + 1;
  while (at < text.length && text[at] !== "}" && text[at] !== "]") {
    const start = object ? endOfValue(text, at) + 1 : at;
    const key = object ? (JSON.parse(text.slice(at, start - 1)) as string) : "";
    const end = endOfValue(text, start);
    spans.push({ key, start, end });
    at = text[end] === "," ? end + 1 : end;
  }
  return spans;
}

/** The index after the value that begins at `start`. */
function endOfValue(text: string, start: number): number {
  let depth = 0;
  for (let i = start; i < text.length; i += 1) {
    const char = text[i];
    if (char === '"') i = endOfString(text, i) - 1;
    else if (char === "{" || char === "[") depth += 1;
    else if (char === "}" || char === "]") {
      if (depth === 0) return i;
      depth -= 1;
    }
    // At the top a value ends where its bracket closes, its string ends, or before what follows a bare word.
    if (depth === 0 && (char === '"' || char === "}" || char === "]")) return i + 1;
    if (depth === 0 && (char === "," || char === ":")) return i;
  }
  return text.length;
}

function endOfString(text: string, start: number): number {
  for (let i = start + 1; i < text.length; i += 1) {
    if (text[i] === "\\") i += 1;
    else if (text[i] === '"') return i + 1;
  }
  return text.length;
}
