import { JsonError, parseLossless } from "@nacre/protocols";

import { KbsProtocolError } from "./error.ts";

const MAX_DEPTH = 64;

/**
 * Reads JSON from a peer: integers keep their exact value (beyond 2^53 as bigint), nesting is bounded, and an object
 * that names a member twice is refused, because two readers would take two meanings from it. Throws KbsProtocolError
 * `json`.
 */
export function parseStrictJson(text: string, what: string): unknown {
  try {
    const value = parseLossless(text, MAX_DEPTH);
    if (hasDuplicate(text)) throw new KbsProtocolError("json", `${what}: expected each member once`);
    return value;
  } catch (cause) {
    if (cause instanceof KbsProtocolError) throw cause;
    const why = cause instanceof JsonError && cause.code === "depth" ? `at most ${MAX_DEPTH} levels` : "JSON";
    // The parser's own message shows the text around the place.
    throw new KbsProtocolError("json", `${what}: expected ${why}`);
  }
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;

/** Whether some object of a text that is JSON has a name twice. */
function hasDuplicate(text: string): boolean {
  // An object's names so far; of an array, undefined.
  const open: (Set<string> | undefined)[] = [];
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === 0x7b) open.push(new Set());
    else if (code === 0x5b) open.push(undefined);
    else if (code === 0x7d || code === 0x5d) open.pop();
    else if (code === QUOTE) {
      const start = at;
      at = closing(text, at);
      const names = open.at(-1);
      if (names === undefined || !isName(text, at + 1)) continue;
      const name = JSON.parse(text.slice(start, at + 1)) as string;
      if (names.has(name)) return true;
      names.add(name);
    }
  }
  return false;
}

function closing(text: string, start: number): number {
  let at = start + 1;
  while (text.charCodeAt(at) !== QUOTE) at += text.charCodeAt(at) === BACKSLASH ? 2 : 1;
  return at;
}

/** A colon follows only a member's name. */
function isName(text: string, from: number): boolean {
  let at = from;
  while (/[ \t\r\n]/u.test(text.charAt(at))) at += 1;
  return text.charAt(at) === ":";
}
