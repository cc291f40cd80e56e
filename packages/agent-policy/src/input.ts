import { type FieldDescriptor, messageDescriptor } from "@nacre/protocols";
import { copyFileInput } from "./copy-file-input.ts";

/** What of a method decides the shape of its input. */
export interface PolicyMethod {
  readonly requestType: string;
}

type Write = (value: never) => string;

/** One member of the input: its name with what precedes it, and how its value is had from the message. */
interface Part {
  readonly head: string;
  readonly write: Write;
}

const writers = new Map<string, (message: Readonly<Record<string, unknown>>) => string>();

/**
 * The request as the policy sees it, as JSON text (section 4.1): fields by their proto names, a field named `type` as
 * `type_`, enums as integers, bytes as arrays of integers, 64-bit integers exact, absent messages and absent `optional`
 * fields null, everything else present with its default. CopyFile has a form of its own.
 *
 * Written straight from the tree that also makes the container: what was decided on is what runs.
 *
 * @throws PolicyError `input` for a CopyFile whose link target is not UTF-8.
 */
export function policyInput(method: PolicyMethod, request: object): string {
  if (method.requestType === "grpc.CopyFileRequest") return copyFileInput(request as never);
  return writerOf(method.requestType)(request as Readonly<Record<string, unknown>>);
}

/** One writer a message type, made on first use: the walk over descriptors is paid once. */
function writerOf(typeName: string): (message: Readonly<Record<string, unknown>>) => string {
  const known = writers.get(typeName);
  if (known !== undefined) return known;
  let parts: readonly Part[] | undefined;
  const writer = (message: Readonly<Record<string, unknown>>): string => {
    // Made at the first call and not at the lookup, so that a type may hold itself.
    parts ??= partsOf(messageDescriptor(typeName).fields);
    let text = "";
    for (const { head, write } of parts) text += head + write(message as never);
    return parts.length === 0 ? "{}" : `${text}}`;
  };
  writers.set(typeName, writer);
  return writer;
}

/** The members of the input, in order of their first field's number. */
function partsOf(fields: readonly FieldDescriptor[]): readonly Part[] {
  const names = [...new Set(fields.map((field) => field.oneof ?? field.name))];
  return names.map((name, i) => {
    const group = fields.filter((field) => field.oneof === name);
    const key = name === "type" ? "type_" : name;
    return {
      head: `${i === 0 ? "{" : ","}${JSON.stringify(key)}:`,
      write: group.length > 0 ? oneofWriter(group) : memberWriter(fields.find((field) => field.name === name)),
    };
  });
}

function memberWriter(field: FieldDescriptor | undefined): Write {
  if (field === undefined) return () => "null";
  const write = fieldWriter(field);
  return (message: Readonly<Record<string, never>>) => write(message[field.name] as never);
}

/** A oneof is one member of that name: null, or an object whose one key is the member's name in PascalCase. */
function oneofWriter(group: readonly FieldDescriptor[]): Write {
  const choices = group.map((field) => ({
    field,
    key: JSON.stringify(pascalCase(field.name)),
    write: fieldWriter(field),
  }));
  return (message: Readonly<Record<string, unknown>>) => {
    const set = choices.find(({ field }) => message[field.name] !== null);
    return set === undefined ? "null" : `{${set.key}:${set.write(message[set.field.name] as never)}}`;
  };
}

function pascalCase(name: string): string {
  return name.replace(/(?:^|_)([a-z])/gu, (_, letter: string) => letter.toUpperCase());
}

function fieldWriter(field: FieldDescriptor): Write {
  const one = valueWriter(field);
  if (field.kind === "map") {
    return (map: Readonly<Record<string, never>>) =>
      `{${Object.keys(map)
        .map((key) => `${JSON.stringify(key)}:${one(map[key] as never)}`)
        .join(",")}}`;
  }
  if (field.repeated) return (values: readonly never[]) => `[${values.map(one).join(",")}]`;
  return (value: never) => (value === null ? "null" : one(value));
}

function valueWriter(field: FieldDescriptor): Write {
  if (field.valueKind === "message") return writerOf(field.type);
  if (field.type === "string") return (text: string) => JSON.stringify(text);
  if (field.type === "bytes") return (bytes: Uint8Array) => `[${bytes.join(",")}]`;
  // Numbers, bigints and booleans print as JSON has them.
  return String as Write;
}
