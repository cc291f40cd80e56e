import { OciError } from "./error.ts";

/** A JSON object of a document whose members are not yet checked. */
export type JsonObject = Readonly<Record<string, unknown>>;

/** @throws OciError `document` when the bytes are not UTF-8, not JSON, or not an object. */
export function parseJsonObject(what: string, bytes: Uint8Array): JsonObject {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch {
    // No cause: the parser's message repeats a part of the text, which may be a secret and is never ours.
    throw new OciError("document", `${what}: not a JSON document`);
  }
  if (!isObject(value)) throw new OciError("document", `${what}: expected a JSON object`);
  return value;
}

export function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** The text of an optional member. @throws OciError `document` when it is something else. */
export function optionalText(what: string, object: JsonObject, key: string): string | undefined {
  const value = object[key];
  if (value === undefined || value === null) return undefined;
  if (typeof value !== "string") throw new OciError("document", `${what}: ${key} is not a string`);
  return value;
}

/** The strings of an optional list. @throws OciError `document` when it is something else. */
export function optionalTexts(what: string, object: JsonObject, key: string): readonly string[] {
  const value = object[key];
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value) || !value.every((item) => typeof item === "string")) {
    throw new OciError("document", `${what}: ${key} is not a list of strings`);
  }
  return value;
}

/** An optional map of strings. @throws OciError `document` when it is something else. */
export function optionalTextMap(what: string, object: JsonObject, key: string): Readonly<Record<string, string>> {
  const value = object[key];
  if (value === undefined || value === null) return {};
  if (!isObject(value) || !Object.values(value).every((item) => typeof item === "string")) {
    throw new OciError("document", `${what}: ${key} is not a map of strings`);
  }
  return value as Readonly<Record<string, string>>;
}
