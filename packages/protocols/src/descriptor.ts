import { EncodeError } from "./error.ts";
import { enums, messages } from "./gen/descriptor.ts";

/** A field as the generator writes it: number, name, type, label, name of the oneof. */
export type FieldRow = readonly [
  number: number,
  name: string,
  type: string,
  label?: "repeated" | "optional" | "oneof" | "map",
  oneof?: string,
];
/** An enum as the generator writes it: numbers by name. */
export type EnumRow = Readonly<Record<string, number>>;
/** A method as the generator writes it. */
export type MethodRow = readonly [
  name: string,
  requestType: string,
  responseType: string,
  requestStream?: boolean,
  responseStream?: boolean,
];

export type ScalarType = "string" | "bytes" | "bool" | "int32" | "uint32" | "int64" | "uint64";

/** One field of a message. */
export interface FieldDescriptor {
  readonly number: number;
  /** As written in the .proto file, which is also its name in the tree, in JSON and (but for `type`) in policy input. */
  readonly name: string;
  readonly kind: "scalar" | "enum" | "message" | "map";
  /** A scalar's name, or the full name of the message or enum; of a map, that of its values (keys are strings). */
  readonly type: string;
  /** Of a map, what its values are; otherwise the same as `kind`. */
  readonly valueKind: "scalar" | "enum" | "message";
  readonly repeated: boolean;
  /** Absent is told from zero: proto3 `optional`, or a member of a oneof. Absent is `null` in the tree. */
  readonly optional: boolean;
  /** Name of the oneof it is a member of. */
  readonly oneof: string | undefined;
}

/** A message and its fields in number order. */
export interface MessageDescriptor {
  readonly name: string;
  readonly fields: readonly FieldDescriptor[];
  readonly byName: ReadonlyMap<string, FieldDescriptor>;
}

const known = new Map<string, MessageDescriptor>();

/** Describes a message by its full name, e.g. `grpc.CreateContainerRequest`. Made on first use, then kept. */
export function messageDescriptor(typeName: string): MessageDescriptor {
  const cached = known.get(typeName);
  if (cached !== undefined) return cached;
  const rows = Object.hasOwn(messages, typeName) ? messages[typeName] : undefined;
  if (rows === undefined) throw new EncodeError("unknown-type", `no message type ${typeName}`);
  const fields = rows.map(toField);
  const made: MessageDescriptor = { name: typeName, fields, byName: new Map(fields.map((f) => [f.name, f])) };
  known.set(typeName, made);
  return made;
}

/** The full names of all messages. */
export function messageTypes(): readonly string[] {
  return Object.keys(messages);
}

/** An enum's numbers by name. */
export function enumValues(typeName: string): EnumRow {
  const row = Object.hasOwn(enums, typeName) ? enums[typeName] : undefined;
  if (row === undefined) throw new EncodeError("unknown-type", `no enum type ${typeName}`);
  return row;
}

function toField([number, name, type, label, oneof]: FieldRow): FieldDescriptor {
  const valueKind = Object.hasOwn(messages, type) ? "message" : Object.hasOwn(enums, type) ? "enum" : "scalar";
  return {
    number,
    name,
    kind: label === "map" ? "map" : valueKind,
    type,
    valueKind,
    repeated: label === "repeated",
    optional: label === "optional" || label === "oneof",
    oneof,
  };
}
