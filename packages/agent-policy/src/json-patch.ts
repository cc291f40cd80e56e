import { PolicyError } from "./error.ts";

/** A JSON value as `parseLossless` gives it. */
export type Json = null | boolean | number | bigint | string | Json[] | { [key: string]: Json };

type Op = "add" | "remove" | "replace" | "move" | "copy" | "test";
export const OPERATIONS: readonly string[] = ["add", "remove", "replace", "move", "copy", "test"];

/** One operation of a patch, its pointers taken apart. */
export interface Operation {
  readonly op: Op;
  readonly path: readonly string[];
  readonly pathText: string;
  readonly from?: readonly string[];
  readonly fromText?: string;
  readonly value?: Json;
}

/**
 * Applies a JSON Patch (RFC 6902) to a document and returns the new one; the given one is never changed, so a patch
 * that fails half-way has no effect. Throws PolicyError `evaluation` that names the operation by its index.
 */
export function applyPatch(document: Json, patch: readonly Json[]): Json {
  return applyOperations(document, patch.map(parseOperation));
}

/** The same for operations that are read already. */
export function applyOperations(document: Json, operations: readonly Operation[]): Json {
  let result = copy(document);
  for (const [index, operation] of operations.entries()) result = apply(result, operation, index);
  return result;
}

/** Throws PolicyError `evaluation` with upstream's text for what is no operation. */
export function parseOperation(value: Json): Operation {
  if (!isObject(value)) throw invalid(`invalid type: ${kindOf(value)}, expected internally tagged enum PatchOperation`);
  const op = value["op"];
  if (op === undefined) throw invalid("missing field `op`");
  if (typeof op !== "string") throw invalid(`invalid type: ${kindOf(op)}, expected a string`);
  if (!OPERATIONS.includes(op)) {
    const names = OPERATIONS.map((name) => `\`${name}\``).join(", ");
    throw invalid(`unknown variant \`${op}\`, expected one of ${names}`);
  }
  const pathText = pointerText(value, "path");
  const operation = { op: op as Op, path: parsePointer(pathText), pathText };
  if (op === "move" || op === "copy") {
    const fromText = pointerText(value, "from");
    return { ...operation, from: parsePointer(fromText), fromText };
  }
  if (op === "remove") return operation;
  const given = value["value"];
  if (given === undefined) throw invalid("missing field `value`");
  return { ...operation, value: given };
}

function pointerText(operation: { [key: string]: Json }, name: "path" | "from"): string {
  const text = operation[name];
  if (text === undefined) throw invalid(`missing field \`${name}\``);
  if (typeof text !== "string") throw invalid(`invalid type: ${kindOf(text)}, expected a string`);
  return text;
}

/** RFC 6901. */
function parsePointer(text: string): readonly string[] {
  if (text === "") return [];
  if (!text.startsWith("/")) {
    throw invalid("json pointer failed to parse; does not start with a slash ('/') and is not empty");
  }
  return text
    .slice(1)
    .split("/")
    .map((token) => {
      if (!token.includes("~")) return token;
      if (/~(?![01])/u.test(token)) throw invalid("json pointer failed to parse; contains an invalid escape");
      return token.replaceAll("~1", "/").replaceAll("~0", "~");
    });
}

function apply(document: Json, operation: Operation, index: number): Json {
  const { op, path, pathText, value = null } = operation;
  const fail = (why: string, at: string = pathText): PolicyError =>
    new PolicyError("evaluation", `operation '/${index}' failed at path '${at}': ${why}`);
  switch (op) {
    case "add":
      return add(document, path, copy(value), fail);
    case "remove":
      return remove(document, path, fail).document;
    case "replace":
      return add(remove(document, path, fail).document, path, copy(value), fail);
    case "move": {
      const { from = [], fromText = "" } = operation;
      // A value cannot go into itself (RFC 6902, 4.4).
      if (path.length > from.length && from.every((token, i) => token === path[i]))
        throw fail("cannot move the value inside itself");
      const { document: rest, value: moved } = remove(document, from, (why) => fail(why, fromText));
      return add(rest, path, moved, fail);
    }
    case "copy": {
      const found = get(document, operation.from ?? [], (why) => fail(why, operation.fromText ?? ""));
      return add(document, path, copy(found), fail);
    }
    case "test":
      if (!equal(get(document, path, fail), value)) throw fail("value did not match");
      return document;
  }
}

type Fail = (why: string) => PolicyError;
const INVALID_PATH = "path is invalid";

function get(document: Json, path: readonly string[], fail: Fail): Json {
  let at: Json = document;
  for (const token of path) {
    const next: Json | undefined = Array.isArray(at)
      ? at[elementIndex(at, token, at.length - 1)]
      : isObject(at)
        ? own(at, token)
        : undefined;
    if (next === undefined) throw fail(INVALID_PATH);
    at = next;
  }
  return at;
}

function add(document: Json, path: readonly string[], value: Json, fail: Fail): Json {
  const last = path.at(-1);
  if (last === undefined) return value;
  const parent = get(document, path.slice(0, -1), fail);
  if (Array.isArray(parent)) {
    const index = last === "-" ? parent.length : elementIndex(parent, last, parent.length);
    if (index < 0) throw fail(INVALID_PATH);
    parent.splice(index, 0, value);
  } else if (isObject(parent)) define(parent, last, value);
  else throw fail(INVALID_PATH);
  return document;
}

function remove(document: Json, path: readonly string[], fail: Fail): { document: Json; value: Json } {
  const last = path.at(-1);
  if (last === undefined) return { document: null, value: document };
  const parent = get(document, path.slice(0, -1), fail);
  const value = get(parent, [last], fail);
  if (Array.isArray(parent)) parent.splice(elementIndex(parent, last, parent.length - 1), 1);
  else delete (parent as { [key: string]: Json })[last];
  return { document, value };
}

/** An array's index as RFC 6901 writes it, at most `max`; -1 for what is none. */
function elementIndex(_array: readonly Json[], token: string, max: number): number {
  if (!/^(?:0|[1-9]\d{0,9})$/u.test(token)) return -1;
  const index = Number(token);
  return index <= max ? index : -1;
}

function own(object: { [key: string]: Json }, key: string): Json | undefined {
  return Object.hasOwn(object, key) ? object[key] : undefined;
}

/** Sets an own property whatever its name: `__proto__` is a name like any other here. */
function define(object: { [key: string]: Json }, key: string, value: Json): void {
  Object.defineProperty(object, key, { value, writable: true, enumerable: true, configurable: true });
}

/** A copy that shares nothing with the original. */
function copy(value: Json): Json {
  if (Array.isArray(value)) return value.map(copy);
  if (!isObject(value)) return value;
  const object: { [key: string]: Json } = {};
  for (const key of Object.keys(value)) {
    if (key === "__proto__") define(object, key, copy(value[key] as Json));
    else object[key] = copy(value[key] as Json);
  }
  return object;
}

function equal(a: Json, b: Json): boolean {
  if (Array.isArray(a)) return Array.isArray(b) && a.length === b.length && a.every((v, i) => equal(v, b[i] as Json));
  if (isObject(a)) {
    if (!isObject(b)) return false;
    const keys = Object.keys(a);
    return (
      keys.length === Object.keys(b).length &&
      keys.every((key) => Object.hasOwn(b, key) && equal(a[key] as Json, b[key] as Json))
    );
  }
  if (typeof a === "bigint" || typeof b === "bigint") return a == b;
  return a === b;
}

function isObject(value: Json): value is { [key: string]: Json } {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** As serde names what it found. */
export function kindOf(value: Json): string {
  if (value === null) return "null";
  if (Array.isArray(value)) return "sequence";
  if (typeof value === "object") return "map";
  if (typeof value === "boolean") return `boolean \`${value}\``;
  if (typeof value === "string") return `string ${JSON.stringify(value)}`;
  return `integer \`${value}\``;
}

function invalid(message: string): PolicyError {
  return new PolicyError("evaluation", message);
}
