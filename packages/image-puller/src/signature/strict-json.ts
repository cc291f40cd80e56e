import { PullError } from "../error.ts";

/** A document whose every member is read, or refused by its name. */
export type JsonValue = null | boolean | number | string | readonly JsonValue[] | JsonObject;
export type JsonObject = ReadonlyMap<string, JsonValue>;

/** Policies and signed payloads are some levels deep. */
const MAX_DEPTH = 32;
const WHITE = /[ \t\n\r]*/uy;
const STRING = /"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/uy;
const NUMBER = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/uy;
const WORD = /true|false|null/uy;

/**
 * Reads a JSON document in which no object has a member twice: two readers could take the one or the other, and one of them
 * decides what runs. Objects are maps, so that no member's name can mean anything to the language.
 *
 * @throws PullError `configuration`
 */
export function parseStrictJson(what: string, bytes: Uint8Array): JsonValue {
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw new PullError("configuration", `${what}: not UTF-8`);
  }
  let at = 0;
  const fail = (why: string): PullError => new PullError("configuration", `${what}: ${why} at character ${at}`);
  const match = (pattern: RegExp): string | undefined => {
    pattern.lastIndex = at;
    const found = pattern.exec(text)?.[0];
    if (found !== undefined) at += found.length;
    return found;
  };
  const skip = (): string => {
    match(WHITE);
    return text.charAt(at);
  };
  const members = (end: string, add: () => unknown): void => {
    at += 1;
    if (skip() === end) {
      at += 1;
      return;
    }
    for (;;) {
      add();
      const next = skip();
      at += 1;
      if (next === end) return;
      if (next !== ",") throw fail(`expected , or ${end}`);
      skip();
    }
  };
  const value = (depth: number): JsonValue => {
    if (depth > MAX_DEPTH) throw fail(`deeper than ${MAX_DEPTH} levels`);
    switch (skip()) {
      case "{": {
        const object = new Map<string, JsonValue>();
        members("}", () => {
          const key = match(STRING);
          if (key === undefined) throw fail("expected a member's name");
          const name = JSON.parse(key) as string;
          if (object.has(name)) throw fail(`the member ${JSON.stringify(name.slice(0, 100))} is there twice`);
          if (skip() !== ":") throw fail("expected a colon");
          at += 1;
          object.set(name, value(depth + 1));
        });
        return object;
      }
      case "[": {
        const list: JsonValue[] = [];
        members("]", () => list.push(value(depth + 1)));
        return list;
      }
      default: {
        const scalar = match(STRING) ?? match(NUMBER) ?? match(WORD);
        if (scalar === undefined) throw fail("expected a value");
        return JSON.parse(scalar) as JsonValue;
      }
    }
  };
  const result = value(0);
  if (skip() !== "") throw fail("more than one value");
  return result;
}

export function isJsonObject(value: JsonValue | undefined): value is JsonObject {
  return value instanceof Map;
}
