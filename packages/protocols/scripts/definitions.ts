import { readdirSync } from "node:fs";
import { join } from "node:path";
import { type AnyDefinition, loadSync } from "@grpc/proto-loader";
import descriptor, {
  type IDescriptorProto,
  type IEnumDescriptorProto,
  type IFieldDescriptorProto,
  type IFileDescriptorProto,
} from "protobufjs/ext/descriptor/index.js";

/** The types that our codec knows; the generator refuses any other. */
const SCALARS: ReadonlyMap<string, string> = new Map([
  ["TYPE_STRING", "string"],
  ["TYPE_BYTES", "bytes"],
  ["TYPE_BOOL", "bool"],
  ["TYPE_INT32", "int32"],
  ["TYPE_UINT32", "uint32"],
  ["TYPE_INT64", "int64"],
  ["TYPE_UINT64", "uint64"],
]);

export type Label = "" | "repeated" | "optional" | "oneof" | "map";

export interface FieldDefinition {
  readonly number: number;
  readonly name: string;
  /** A scalar's name, or the full name of a message or an enum; of a map, the value's. */
  readonly type: string;
  readonly kind: "scalar" | "enum" | "message";
  readonly label: Label;
  /** Name of the oneof that the field belongs to. */
  readonly oneof: string | undefined;
}

export interface MethodDefinition {
  readonly name: string;
  readonly requestType: string;
  readonly responseType: string;
  readonly requestStream: boolean;
  readonly responseStream: boolean;
}

/** Everything that protos/ defines, by full name, in the order of the names so that the output does not depend on file order. */
export interface Definitions {
  readonly messages: ReadonlyMap<string, readonly FieldDefinition[]>;
  readonly enums: ReadonlyMap<string, ReadonlyMap<string, number>>;
  readonly services: ReadonlyMap<string, readonly MethodDefinition[]>;
}

/** Loads every .proto file under `root`, a folder for each protocol. */
export function loadDefinitions(root: string): Definitions {
  const files = new Map<string, IFileDescriptorProto>();
  for (const folder of readdirSync(root, { withFileTypes: true }).filter((e) => e.isDirectory())) {
    const dir = join(root, folder.name);
    const protos = readdirSync(dir).filter((name) => name.endsWith(".proto"));
    for (const definition of Object.values(loadSync(protos, { includeDirs: [dir], keepCase: true }))) {
      for (const file of descriptorFiles(definition)) {
        const name = file.package ?? "";
        const known = files.get(name);
        // One package may appear in several subsets; the largest has every type of the folder.
        if (known === undefined || size(file) > size(known)) files.set(name, file);
      }
    }
  }
  return resolveAll([...files.values()]);
}

function size(file: IFileDescriptorProto): number {
  return (file.messageType?.length ?? 0) + (file.enumType?.length ?? 0) + (file.service?.length ?? 0);
}

function descriptorFiles(definition: AnyDefinition): IFileDescriptorProto[] {
  if (!("fileDescriptorProtos" in definition)) return [];
  return (definition.fileDescriptorProtos as Buffer[]).map(
    (bytes) => descriptor.FileDescriptorProto.decode(bytes) as unknown as IFileDescriptorProto,
  );
}

function resolveAll(files: readonly IFileDescriptorProto[]): Definitions {
  const messages = new Map<string, { readonly scope: string; readonly proto: IDescriptorProto }>();
  const enums = new Map<string, ReadonlyMap<string, number>>();
  const addEnum = (scope: string, proto: IEnumDescriptorProto): void => {
    enums.set(`${scope}.${proto.name}`, new Map((proto.value ?? []).map((v) => [v.name ?? "", v.number ?? 0])));
  };
  const addMessage = (scope: string, proto: IDescriptorProto): void => {
    const name = `${scope}.${proto.name}`;
    messages.set(name, { scope: name, proto });
    for (const nested of proto.nestedType ?? []) addMessage(name, nested);
    for (const nested of proto.enumType ?? []) addEnum(name, nested);
  };
  for (const file of files) {
    for (const message of file.messageType ?? []) addMessage(file.package ?? "", message);
    for (const e of file.enumType ?? []) addEnum(file.package ?? "", e);
  }

  const isMapEntry = (name: string): boolean => messages.get(name)?.proto.options?.mapEntry === true;

  /**
   * Looks a name up from the innermost scope outwards. The loader shortens `.p.Inner` and `Inner` alike, so a name that
   * means one thing inside a message and another outside cannot be told apart and is refused.
   */
  const resolve = (scope: string, name: string): string => {
    const candidates = [name.replace(/^\./, "")];
    for (let s = scope; s !== ""; s = s.slice(0, Math.max(0, s.lastIndexOf(".")))) candidates.push(`${s}.${name}`);
    const found = candidates.filter((c) => enums.has(c) || (messages.has(c) && !isMapEntry(c)));
    const [only, other] = found;
    if (only === undefined) throw new Error(`${scope}: no type ${name}`);
    if (other !== undefined) throw new Error(`${scope}: ${name} may be ${only} or ${other}; give one another name`);
    return only;
  };
  const typed = (scope: string, field: IFieldDescriptorProto): Pick<FieldDefinition, "type" | "kind"> => {
    const code = field.type as unknown as number;
    const name = FIELD_TYPES[code] ?? `type ${code}`;
    const scalar = SCALARS.get(name);
    if (scalar !== undefined) return { type: scalar, kind: "scalar" };
    if (name !== "TYPE_MESSAGE" && name !== "TYPE_ENUM") throw new Error(`${scope}.${field.name}: ${name} unsupported`);
    // The loader makes a map's entry type inside the message and calls it after the field, with a capital letter.
    const capital = (field.name ?? "").replace(/^./, (letter) => letter.toUpperCase());
    if (isMapEntry(`${scope}.${capital}`) && field.typeName === capital) {
      return { type: `${scope}.${capital}`, kind: "message" };
    }
    return { type: resolve(scope, field.typeName ?? ""), kind: name === "TYPE_ENUM" ? "enum" : "message" };
  };
  const toField = (scope: string, proto: IDescriptorProto, field: IFieldDescriptorProto): FieldDefinition => {
    const base = { number: field.number ?? 0, name: field.name ?? "", ...typed(scope, field), oneof: undefined };
    const entry = messages.get(base.type)?.proto;
    if (entry?.options?.mapEntry === true) {
      const [key, value] = entry.field ?? [];
      if (key === undefined || value === undefined || typed(base.type, key).type !== "string") {
        throw new Error(`${scope}.${field.name}: only maps with string keys are supported`);
      }
      return { ...base, ...typed(base.type, value), label: "map" };
    }
    if ((field.label as unknown as number) === LABEL_REPEATED) return { ...base, label: "repeated" };
    if (!Object.hasOwn(field, "oneofIndex")) return { ...base, label: "" };
    const oneof = proto.oneofDecl?.[field.oneofIndex ?? 0]?.name ?? "";
    // A proto3 `optional` field is a oneof of its own, called after it.
    return oneof === `_${field.name}` ? { ...base, label: "optional" } : { ...base, label: "oneof", oneof };
  };

  const services = new Map<string, readonly MethodDefinition[]>();
  for (const file of files) {
    const scope = file.package ?? "";
    for (const service of file.service ?? []) {
      services.set(
        `${scope}.${service.name}`,
        (service.method ?? []).map((m) => ({
          name: m.name ?? "",
          requestType: resolve(scope, m.inputType ?? ""),
          responseType: resolve(scope, m.outputType ?? ""),
          requestStream: m.clientStreaming ?? false,
          responseStream: m.serverStreaming ?? false,
        })),
      );
    }
  }
  return {
    messages: sorted(
      [...messages]
        .filter(([, m]) => m.proto.options?.mapEntry !== true)
        .map(([name, { scope, proto }]) => [
          name,
          (proto.field ?? []).map((f) => toField(scope, proto, f)).sort((a, b) => a.number - b.number),
        ]),
    ),
    enums: sorted([...enums]),
    services: sorted([...services]),
  };
}

const LABEL_REPEATED = 3;

/** FieldDescriptorProto.Type by number. */
const FIELD_TYPES: Readonly<Record<number, string>> = {
  1: "TYPE_DOUBLE",
  2: "TYPE_FLOAT",
  3: "TYPE_INT64",
  4: "TYPE_UINT64",
  5: "TYPE_INT32",
  6: "TYPE_FIXED64",
  7: "TYPE_FIXED32",
  8: "TYPE_BOOL",
  9: "TYPE_STRING",
  10: "TYPE_GROUP",
  11: "TYPE_MESSAGE",
  12: "TYPE_BYTES",
  13: "TYPE_UINT32",
  14: "TYPE_ENUM",
  15: "TYPE_SFIXED32",
  16: "TYPE_SFIXED64",
  17: "TYPE_SINT32",
  18: "TYPE_SINT64",
};

function sorted<T>(entries: readonly (readonly [string, T])[]): ReadonlyMap<string, T> {
  return new Map([...entries].sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)));
}
