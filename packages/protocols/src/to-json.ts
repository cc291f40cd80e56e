import { enumValues, type FieldDescriptor, messageDescriptor } from "./descriptor.ts";

/**
 * A message as proto JSON with the fields' original names: defaults left out, 64-bit integers as decimal strings, bytes
 * in base64, enums by name (by number when they have none). What kata-agent-ctl prints and the recorded runs hold.
 */
export function toJson(typeName: string, message: object): unknown {
  const out: Record<string, unknown> = {};
  const tree = message as Readonly<Record<string, unknown>>;
  for (const field of messageDescriptor(typeName).fields) {
    const value = tree[field.name];
    if (value === undefined || value === null) continue;
    if (field.repeated) {
      const list = value as readonly unknown[];
      if (list.length > 0) out[field.name] = list.map((v) => one(field, v));
    } else if (field.kind === "map") {
      const entries = Object.entries(value);
      if (entries.length > 0) out[field.name] = mapOf(entries.map(([k, v]) => [k, one(field, v)]));
    } else if (field.kind === "message" || field.optional || !isZero(value)) out[field.name] = one(field, value);
  }
  return out;
}

/** Without a prototype, so that the key `__proto__` stays a key. */
function mapOf(entries: readonly (readonly [string, unknown])[]): Record<string, unknown> {
  const out = Object.create(null) as Record<string, unknown>;
  for (const [key, value] of entries) out[key] = value;
  return out;
}

function isZero(value: unknown): boolean {
  if (value instanceof Uint8Array) return value.length === 0;
  return value === "" || value === 0 || value === 0n || value === false;
}

function one(field: FieldDescriptor, value: unknown): unknown {
  if (field.valueKind === "message") return toJson(field.type, value as object);
  if (field.valueKind === "enum") return enumName(field.type, value as number);
  if (value instanceof Uint8Array) {
    return Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString("base64");
  }
  return field.type === "int64" || field.type === "uint64" ? String(value) : value;
}

function enumName(type: string, number: number): string | number {
  return Object.entries(enumValues(type)).find(([, n]) => n === number)?.[0] ?? number;
}
