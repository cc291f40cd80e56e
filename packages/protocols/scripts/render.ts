import type { Definitions, FieldDefinition } from "./definitions.ts";

const HEADER = "// Generated from protos/ by scripts/generate.ts (make generate). Do not edit.\n\n";

const SCALAR_TYPES: Readonly<Record<string, string>> = {
  string: "string",
  bytes: "Uint8Array",
  bool: "boolean",
  int32: "number",
  uint32: "number",
  int64: "bigint",
  uint64: "bigint",
};

/** Splits a full name into its package and the TypeScript name of the type in it (nested types are joined by `_`). */
function split(fullName: string, packages: Iterable<string>): { pkg: string; local: string } {
  for (const pkg of packages) {
    if (fullName.startsWith(`${pkg}.`)) return { pkg, local: fullName.slice(pkg.length + 1).replaceAll(".", "_") };
  }
  throw new Error(`${fullName}: its package has no namespace`);
}

/** TypeScript interfaces of one package's messages. */
export function renderInterfaces(d: Definitions, pkg: string, namespaces: ReadonlyMap<string, string>): string {
  const imports = new Set<string>();
  const reference = (fullName: string): string => {
    const at = split(fullName, namespaces.keys());
    if (at.pkg === pkg) return at.local;
    const namespace = namespaces.get(at.pkg) ?? "";
    imports.add(namespace);
    return `${namespace}.${at.local}`;
  };
  const single = (f: FieldDefinition): string =>
    f.kind === "scalar" ? (SCALAR_TYPES[f.type] ?? "never") : reference(f.type);
  const typeOf = (f: FieldDefinition): string => {
    if (f.label === "map") return `Record<string, ${single(f)}>`;
    if (f.label === "repeated") return `${single(f)}[]`;
    return f.kind === "message" || f.label !== "" ? `${single(f)} | null` : single(f);
  };
  let body = "";
  for (const [name, values] of d.enums) {
    const at = split(name, namespaces.keys());
    if (at.pkg !== pkg) continue;
    const known = [...values].map(([text, n]) => `${n} ${text}`).join(", ");
    body += `/** \`${name}\`: ${known}; a number that is none of these is kept. */\nexport type ${at.local} = number;\n\n`;
  }
  for (const [name, fields] of d.messages) {
    const at = split(name, namespaces.keys());
    if (at.pkg !== pkg) continue;
    const lines = fields.map((f) => `  ${f.name}: ${typeOf(f)};\n`).join("");
    body += `/** \`${name}\` */\nexport interface ${at.local} {\n${lines}}\n\n`;
  }
  const head = [...imports].sort().map((n) => `import type * as ${n} from "./${n}.ts";\n`);
  return `${HEADER}${head.join("")}${head.length > 0 ? "\n" : ""}${body.trimEnd()}\n`;
}

/** The descriptor: a row for each field, read lazily at run time. */
export function renderDescriptor(d: Definitions): string {
  let out = `${HEADER}import type { EnumRow, FieldRow, MethodRow } from "../descriptor.ts";\n\n`;
  out += "export const messages: Readonly<Record<string, readonly FieldRow[]>> = {\n";
  for (const [name, fields] of d.messages) {
    const rows = fields.map((f) => {
      const row: (string | number)[] = [f.number, f.name, f.type];
      if (f.label !== "") row.push(f.label);
      if (f.oneof !== undefined) row.push(f.oneof);
      return JSON.stringify(row);
    });
    out += `  ${JSON.stringify(name)}: [${rows.length > 0 ? `\n    ${rows.join(",\n    ")},\n  ` : ""}],\n`;
  }
  out += "};\n\nexport const enums: Readonly<Record<string, EnumRow>> = {\n";
  for (const [name, values] of d.enums) {
    out += `  ${JSON.stringify(name)}: ${JSON.stringify(Object.fromEntries(values))},\n`;
  }
  out += "};\n\nexport const services: Readonly<Record<string, readonly MethodRow[]>> = {\n";
  for (const [name, methods] of d.services) {
    const rows = methods.map((m) => {
      const stream = m.requestStream || m.responseStream ? [m.requestStream, m.responseStream] : [];
      return JSON.stringify([m.name, m.requestType, m.responseType, ...stream]);
    });
    out += `  ${JSON.stringify(name)}: [\n    ${rows.join(",\n    ")},\n  ],\n`;
  }
  return `${out}};\n`;
}

/** A constant for each enum, named after its last part. */
export function renderEnums(d: Definitions): string {
  let out = HEADER;
  for (const [name, values] of d.enums) {
    const local = name.slice(name.lastIndexOf(".") + 1);
    const entries = [...values].map(([text, n]) => `readonly ${text}: ${n}`).join("; ");
    const object = [...values].map(([text, n]) => `${text}: ${n}`).join(", ");
    out += `/** The numbers of \`${name}\`. */\nexport const ${local}: { ${entries} } = { ${object} };\n`;
  }
  return out;
}

/** A typed constant for each service. */
export function renderServices(d: Definitions, namespaces: ReadonlyMap<string, string>): string {
  const imports = new Set<string>();
  const reference = (fullName: string): string => {
    const at = split(fullName, namespaces.keys());
    const namespace = namespaces.get(at.pkg) ?? "";
    imports.add(namespace);
    return `${namespace}.${at.local}`;
  };
  let body = "";
  for (const [name, methods] of d.services) {
    const local = name.slice(name.lastIndexOf(".") + 1);
    body += `/** \`${name}\` */\nexport const ${local}: {\n  readonly name: ${JSON.stringify(name)};\n  readonly methods: {\n`;
    for (const m of methods) {
      body += `    readonly ${m.name}: MethodDescriptor<${reference(m.requestType)}, ${reference(m.responseType)}>;\n`;
    }
    body += `  };\n} = serviceDescriptor(${JSON.stringify(name)});\n\n`;
  }
  const head = [...imports].sort().map((n) => `import type * as ${n} from "./${n}.ts";\n`);
  return `${HEADER}import { type MethodDescriptor, serviceDescriptor } from "../method.ts";\n${head.join("")}\n${body.trimEnd()}\n`;
}
