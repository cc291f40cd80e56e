const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const OPEN: readonly number[] = [0x7b, 0x5b];
const CLOSE: readonly number[] = [0x7d, 0x5d];
const COLON = 0x3a;
const SPACES: readonly number[] = [0x20, 0x09, 0x0a, 0x0d];
const ESCAPES: Readonly<Record<string, string>> = {
  '"': '"',
  "\\": "\\",
  "/": "/",
  b: "\b",
  f: "\f",
  n: "\n",
  r: "\r",
  t: "\t",
};

/**
 * The text that a document of JSON has under a path of names, as bytes in UTF-8, because a text cannot be wiped. The
 * first member of a name counts. Undefined where there is none, or the bytes are no JSON on the way to it. The caller
 * zeroes it.
 */
export function jsonText(json: Buffer, path: readonly string[]): Buffer | undefined {
  let at = skipSpaces(json, 0);
  for (const name of path) {
    const value = json[at] === 0x7b ? memberValue(json, at + 1, name) : undefined;
    if (value === undefined) return undefined;
    at = value;
  }
  if (json[at] !== QUOTE) return undefined;
  return decode(json, at + 1);
}

/** Where the value of a member begins, of the object whose first member begins at `from`. */
function memberValue(json: Buffer, from: number, name: string): number | undefined {
  let at = skipSpaces(json, from);
  while (json[at] === QUOTE) {
    const end = endOfText(json, at + 1);
    if (end === undefined) return undefined;
    const key = decode(json, at + 1)?.toString();
    at = skipSpaces(json, end + 1);
    if (json[at] !== COLON) return undefined;
    at = skipSpaces(json, at + 1);
    if (key === name) return at;
    const next = endOfValue(json, at);
    if (next === undefined || json[next] !== 0x2c) return undefined;
    at = skipSpaces(json, next + 1);
  }
  return undefined;
}

/** Where the comma or the bracket behind a value stands. */
function endOfValue(json: Buffer, from: number): number | undefined {
  let depth = 0;
  for (let at = from; at < json.length; at++) {
    const byte = json[at] ?? 0;
    if (byte === QUOTE) {
      const end = endOfText(json, at + 1);
      if (end === undefined) return undefined;
      at = end;
    } else if (OPEN.includes(byte)) depth += 1;
    else if (CLOSE.includes(byte)) {
      if (depth === 0) return at;
      depth -= 1;
    } else if (byte === 0x2c && depth === 0) return at;
  }
  return undefined;
}

/** Where the quote behind a text stands. */
function endOfText(json: Buffer, from: number): number | undefined {
  for (let at = from; at < json.length; at++) {
    if (json[at] === QUOTE) return at;
    if (json[at] === BACKSLASH) at += 1;
  }
  return undefined;
}

function decode(json: Buffer, from: number): Buffer | undefined {
  const end = endOfText(json, from);
  if (end === undefined) return undefined;
  // An escape is never shorter than what it stands for.
  const out = Buffer.alloc(end - from);
  let length = 0;
  for (let at = from; at < end; at++) {
    const byte = json[at] ?? 0;
    if (byte !== BACKSLASH) {
      out[length++] = byte;
      continue;
    }
    const letter = String.fromCharCode(json[++at] ?? 0);
    if (letter === "u") {
      const unit = codeUnit(json, at + 1);
      if (unit === undefined) return wiped(out);
      at += 4;
      const low = unit >= 0xd800 && unit < 0xdc00 ? lowSurrogate(json, at + 1) : undefined;
      if (low !== undefined) at += 6;
      length += out.write(low === undefined ? String.fromCharCode(unit) : String.fromCharCode(unit, low), length);
    } else {
      const character = Object.hasOwn(ESCAPES, letter) ? ESCAPES[letter] : undefined;
      if (character === undefined) return wiped(out);
      length += out.write(character, length);
    }
  }
  return out.subarray(0, length);
}

function wiped(bytes: Buffer): undefined {
  bytes.fill(0);
  return undefined;
}

function codeUnit(json: Buffer, at: number): number | undefined {
  const digits = json.toString("latin1", at, at + 4);
  return /^[0-9a-fA-F]{4}$/u.test(digits) ? Number.parseInt(digits, 16) : undefined;
}

function lowSurrogate(json: Buffer, at: number): number | undefined {
  if (json[at] !== BACKSLASH || json[at + 1] !== 0x75) return undefined;
  const unit = codeUnit(json, at + 2);
  return unit !== undefined && unit >= 0xdc00 && unit < 0xe000 ? unit : undefined;
}

function skipSpaces(json: Buffer, from: number): number {
  let at = from;
  while (SPACES.includes(json[at] ?? 0)) at += 1;
  return at;
}
