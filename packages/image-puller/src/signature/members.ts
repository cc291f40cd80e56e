import { parseStrictJson } from "@nacre/kbs-protocol";

import { PullError } from "../error.ts";

/** The members of an object, by name: a map, so that no name can mean anything to the language. */
export type Members = ReadonlyMap<string, unknown>;

/**
 * Reads a JSON document in which no object has a member twice: two readers could take the one or the other, and one of them
 * decides what runs.
 *
 * @throws PullError `configuration`
 */
export function parseDocument(what: string, bytes: Uint8Array): unknown {
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw invalid(`${what}: expected UTF-8`);
  }
  try {
    return parseStrictJson(text, what);
  } catch (error) {
    throw invalid(error instanceof Error ? error.message : `${what}: expected JSON`);
  }
}

/** How the parts of a policy say what is wrong with them. */
export function invalid(why: string): PullError {
  return new PullError("configuration", why);
}

/** A member that is an object with these members only; any where none are named. */
export function object(what: string, value: unknown, keys?: readonly string[]): Members {
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw invalid(`${what}: expected an object`);
  const members = new Map<string, unknown>(Object.entries(value));
  for (const key of keys === undefined ? [] : members.keys()) {
    if (keys?.includes(key) !== true) throw invalid(`${what}: unknown member ${JSON.stringify(key.slice(0, 100))}`);
  }
  return members;
}

export function text(what: string, value: unknown): string {
  if (typeof value !== "string" || value === "") throw invalid(`${what}: expected a text`);
  return value;
}
