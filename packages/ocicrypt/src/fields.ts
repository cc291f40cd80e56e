import { JsonError, parseLossless } from "@nacre/protocols";

import { OcicryptError } from "./error.ts";

export type Fields = Readonly<Record<string, unknown>>;

const MAX_DEPTH = 32;

/** An object of JSON. Throws OcicryptError `message`, which shows nothing of the text. */
export function parseFields(text: string, what: string): Fields {
  let value: unknown;
  try {
    value = parseLossless(text, MAX_DEPTH);
  } catch (error) {
    if (!(error instanceof JsonError)) throw error;
    throw new OcicryptError("message", `${what}: expected JSON`);
  }
  return fields(value, what);
}

export function fields(value: unknown, what: string): Fields {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new OcicryptError("message", `${what}: expected an object`);
  }
  return value as Fields;
}

export function textField(from: Fields, name: string, what: string): string {
  const value = from[name];
  if (typeof value !== "string") throw new OcicryptError("message", `${what}: expected the text ${name}`);
  return value;
}
