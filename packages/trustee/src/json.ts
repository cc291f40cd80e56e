import { parseLossless } from "@nacre/protocols";

import { TrusteeError, type TrusteeErrorCode } from "./error.ts";

/** Nesting of anything that a peer sends; evidence and initdata have fewer than ten levels. */
export const MAX_DEPTH = 64;

/**
 * Parses a peer's JSON: integers exact, nesting bounded, and each member of an object once, because two readers that
 * take different ones of two would not see the same document. Throws with the given code, quoting nothing of the text.
 */
export function parseJson(text: string, what: string, code: TrusteeErrorCode): unknown {
  let value: unknown;
  try {
    value = parseLossless(text, MAX_DEPTH);
  } catch (cause) {
    // The parser's message shows the text around the place.
    const reason = (cause as { readonly code?: unknown }).code === "depth" ? `at most ${MAX_DEPTH} levels` : "JSON";
    throw new TrusteeError(code, `${what}: expected ${reason}`);
  }
  if (hasDuplicate(text)) throw new TrusteeError(code, `${what}: expected each member once`);
  return value;
}

/** Bytes as UTF-8 JSON. */
export function parseJsonBytes(bytes: Uint8Array, what: string, code: TrusteeErrorCode): unknown {
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    throw new TrusteeError(code, `${what}: expected UTF-8`, { cause });
  }
  return parseJson(text, what, code);
}

/** Whether an object of well-formed JSON names a member twice. */
function hasDuplicate(text: string): boolean {
  const names: (Set<string> | undefined)[] = [];
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === 0x7b) names.push(new Set());
    else if (code === 0x5b) names.push(undefined);
    else if (code === 0x7d || code === 0x5d) names.pop();
    else if (code === 0x22) {
      const end = stringEnd(text, at);
      const own = names.at(-1);
      if (own !== undefined && isName(text, end + 1)) {
        const raw = text.slice(at, end + 1);
        const name = raw.includes("\\") ? (JSON.parse(raw) as string) : raw.slice(1, -1);
        if (own.has(name)) return true;
        own.add(name);
      }
      at = end;
    }
  }
  return false;
}

function isName(text: string, at: number): boolean {
  let next = at;
  while (/[ \t\r\n]/u.test(text[next] ?? "")) next++;
  return text[next] === ":";
}

function stringEnd(text: string, start: number): number {
  let at = start + 1;
  while (at < text.length && text.charCodeAt(at) !== 0x22) at += text.charCodeAt(at) === 0x5c ? 2 : 1;
  return at;
}
