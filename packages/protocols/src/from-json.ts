import { enumValues, type FieldDescriptor, messageDescriptor, type ScalarType } from "./descriptor.ts";
import { JsonError } from "./error.ts";
import { emptyMessage, planOf, type Tree } from "./plan.ts";

/**
 * The message that a JSON value describes, the reverse of {@link toJson}. 64-bit integers may be numbers (safe ones),
 * bigints or decimal strings, enums names or numbers, and null means absent. Throws JsonError, which names the field:
 * `field` for a name that the message does not have, `type` and `range` for a value that does not fit.
 */
export function fromJson(typeName: string, json: unknown): object {
  return message(typeName, json, typeName);
}

function message(typeName: string, json: unknown, path: string): Tree {
  const object = asObject(json, path);
  const { byName } = messageDescriptor(typeName);
  const out = emptyMessage(planOf(typeName));
  for (const [name, value] of Object.entries(object)) {
    const field = byName.get(name);
    if (field === undefined) throw new JsonError("field", `${path}: no field ${JSON.stringify(name)} in ${typeName}`);
    if (value !== null && value !== undefined) out[name] = fieldValue(field, value, `${path}.${name}`);
  }
  return out;
}

function fieldValue(field: FieldDescriptor, value: unknown, path: string): unknown {
  if (field.repeated) {
    if (!Array.isArray(value)) throw mismatch(path, "a list", value);
    return value.map((v, i) => one(field, v, `${path}[${i}]`));
  }
  if (field.kind !== "map") return one(field, value, path);
  const out = Object.create(null) as Tree;
  for (const [key, v] of Object.entries(asObject(value, path))) {
    out[key] = one(field, v, `${path}[${JSON.stringify(key)}]`);
  }
  return out;
}

function one(field: FieldDescriptor, value: unknown, path: string): unknown {
  if (field.valueKind === "message") return message(field.type, value, path);
  if (field.valueKind === "enum") return enumNumber(field.type, value, path);
  switch (field.type as ScalarType) {
    case "string":
      if (typeof value !== "string") throw mismatch(path, "a string", value);
      return value;
    case "bool":
      if (typeof value !== "boolean") throw mismatch(path, "a boolean", value);
      return value;
    case "bytes":
      return bytes(value, path);
    case "int32":
      return Number(integer(value, path, -(2n ** 31n), 2n ** 31n - 1n));
    case "uint32":
      return Number(integer(value, path, 0n, 2n ** 32n - 1n));
    case "int64":
      return integer(value, path, -(2n ** 63n), 2n ** 63n - 1n);
    case "uint64":
      return integer(value, path, 0n, 2n ** 64n - 1n);
  }
}

function enumNumber(type: string, value: unknown, path: string): number {
  if (typeof value !== "string") return Number(integer(value, path, -(2n ** 31n), 2n ** 31n - 1n));
  const values = enumValues(type);
  const number = Object.hasOwn(values, value) ? values[value] : undefined;
  if (number === undefined) throw new JsonError("type", `${path}: ${type} has no ${JSON.stringify(value)}`);
  return number;
}

function integer(value: unknown, path: string, min: bigint, max: bigint): bigint {
  const exact =
    typeof value === "bigint"
      ? value
      : typeof value === "number" && Number.isSafeInteger(value)
        ? BigInt(value)
        : typeof value === "string" && /^-?[0-9]{1,20}$/.test(value)
          ? BigInt(value)
          : undefined;
  if (exact === undefined) throw mismatch(path, "an exact integer", value);
  if (exact < min || exact > max) throw new JsonError("range", `${path}: ${exact} is not between ${min} and ${max}`);
  return exact;
}

const BASE64 = /^[A-Za-z0-9+/_-]*={0,2}$/;

function bytes(value: unknown, path: string): Uint8Array {
  if (value instanceof Uint8Array) return value;
  if (typeof value !== "string" || !BASE64.test(value)) throw mismatch(path, "base64", value);
  return Buffer.from(value, "base64");
}

function asObject(value: unknown, path: string): object {
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw mismatch(path, "an object", value);
  return value;
}

function mismatch(path: string, expected: string, value: unknown): JsonError {
  const got = value === null ? "null" : Array.isArray(value) ? "a list" : typeof value;
  return new JsonError("type", `${path}: expected ${expected}, got ${got}`);
}
