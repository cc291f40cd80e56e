import { PullError } from "../error.ts";
import { isJsonObject, type JsonObject, type JsonValue } from "./strict-json.ts";

/** How the parts of a policy say what is wrong with them. */
export function invalid(why: string): PullError {
  return new PullError("configuration", why);
}

/** A member that is an object with these members only; any where none are named. */
export function object(what: string, value: JsonValue | undefined, keys?: readonly string[]): JsonObject {
  if (!isJsonObject(value)) throw invalid(`${what}: expected an object`);
  for (const key of keys === undefined ? [] : value.keys()) {
    if (keys?.includes(key) !== true) throw invalid(`${what}: unknown member ${JSON.stringify(key.slice(0, 100))}`);
  }
  return value;
}

export function text(what: string, value: JsonValue | undefined): string {
  if (typeof value !== "string" || value === "") throw invalid(`${what}: expected a text`);
  return value;
}
