import { parse as parseToml } from "smol-toml";

import { internalError } from "../error.ts";
import { type Component, COMPONENT_ENV } from "./component.ts";

/** Where init mounts the extension with the guest components, and its manifest there (section 2.4). */
export const COCO_EXTENSION = "/run/kata-extensions/coco";
export const MANIFEST_PATH = "etc/kata-extensions/components.toml";

/** Bytes of a manifest: upstream's has three thousand. */
const MAX_MANIFEST = 64 * 1024;
const SCHEMA_VERSION = 1;
const DEFAULT_VARIANT = "default";

/** An extension's description of the processes that it holds, schema version 1. Texts may name variables, `${name}`. */
export interface ComponentsManifest {
  /** Where the extension is mounted. */
  readonly root: string;
  /** Absolute paths of what is not run, by name. */
  readonly paths: ReadonlyMap<string, string>;
  readonly processes: readonly ManifestProcess[];
}

export interface ManifestProcess {
  readonly id: string;
  /** As the configured levels count; 0 is never started. */
  readonly level: number;
  readonly path: string | undefined;
  readonly select: string;
  readonly variants: ReadonlyMap<string, ProcessVariant>;
  readonly args: readonly string[];
  readonly optionalArgs: readonly { readonly when: string; readonly args: readonly string[] }[];
  readonly config: string;
  readonly env: ReadonlyMap<string, string>;
  readonly waitSocket: string;
  readonly timeoutSecs: string;
}

export interface ProcessVariant {
  readonly path: string | undefined;
  readonly args: readonly string[];
  readonly env: ReadonlyMap<string, string>;
}

/**
 * Undefined where no extension is mounted. One that is, and has no manifest, is refused. `readFile` takes no file with
 * more than `max` bytes. Throws INTERNAL.
 */
export function loadComponentsManifest(
  root: string,
  exists: (path: string) => boolean,
  readFile: (path: string, max: number) => Buffer,
): ComponentsManifest | undefined {
  if (!exists(root)) return undefined;
  const file = `${root}/${MANIFEST_PATH}`;
  if (!exists(file)) throw internalError(`extension ${root}: expected a manifest ${MANIFEST_PATH}, got none`);
  let bytes: Buffer;
  try {
    bytes = readFile(file, MAX_MANIFEST);
  } catch (cause) {
    throw internalError("components manifest: it cannot be read", cause);
  }
  return parseComponentsManifest(root, bytes.toString("utf8"));
}

/** Keys that this agent does not know are passed over, as upstream does. Throws INTERNAL. */
export function parseComponentsManifest(root: string, text: string): ComponentsManifest {
  if (Buffer.byteLength(text) > MAX_MANIFEST) throw refused(`expected at most ${MAX_MANIFEST} bytes`);
  let document: Table;
  try {
    document = parseToml(text);
  } catch (cause) {
    throw internalError("components manifest: expected TOML", cause);
  }
  if (document["schema_version"] !== SCHEMA_VERSION) {
    throw refused(`schema_version: expected ${SCHEMA_VERSION}, got ${JSON.stringify(document["schema_version"])}`);
  }
  const processes = tables("process", document["process"]).map(parseProcess);
  if (new Set(processes.map(({ id }) => id)).size < processes.length) throw refused("process: expected distinct ids");
  const paths = [...texts("paths", document["paths"])];
  return { root, paths: new Map(paths.map(([name, path]) => [name, within(root, path, `paths.${name}`)])), processes };
}

/** The process with its variables filled in. Throws INTERNAL for a variable or a variant that is not there. */
export function resolveProcess(
  process: ManifestProcess,
  root: string,
  variables: ReadonlyMap<string, string>,
): Component {
  const { id } = process;
  const fill = (text: string): string => substituted(text, variables, id);
  const variant = chosenVariant(process, fill);
  const path = variant?.path ?? process.path;
  if (path === undefined) throw refused(`${id}: expected a path, or a variant with one`);
  const optional = process.optionalArgs.filter(({ when }) => (variables.get(when) ?? "") !== "");
  const args = [...process.args, ...optional.flatMap((group) => group.args), ...(variant?.args ?? [])].map(fill);
  const config = fill(process.config);
  const env = Object.fromEntries([...process.env, ...(variant?.env ?? [])].map(([name, text]) => [name, fill(text)]));
  const socket = fill(process.waitSocket);
  return {
    id,
    path: within(root, fill(path), id),
    args: config === "" ? args : [...args, "-c", config],
    env: { ...COMPONENT_ENV, ...env },
    ...(socket === "" ? {} : { socket }),
    timeoutMs: seconds(fill(process.timeoutSecs === "" ? "${launch_process_timeout}" : process.timeoutSecs), id) * 1000,
  };
}

function parseProcess(table: Table): ManifestProcess {
  const id = text("process.id", table["id"]);
  if (id === undefined || id === "") throw refused("process: expected an id");
  const level = table["level"] ?? 0;
  if (typeof level !== "number" || !Number.isInteger(level) || level < 0) {
    throw refused(`${id}.level: expected a number`);
  }
  const variants = Object.entries(tableOf(`${id}.variants`, table["variants"]));
  return {
    id,
    level,
    path: text(`${id}.path`, table["path"]),
    select: text(`${id}.select`, table["select"]) ?? "",
    variants: new Map(variants.map(([name, value]) => [name, parseVariant(`${id}.variants.${name}`, value)])),
    args: list(`${id}.args`, table["args"]),
    optionalArgs: tables(`${id}.optional_args`, table["optional_args"]).map((group) => ({
      when: text(`${id}.optional_args.when`, group["when"]) ?? "",
      args: list(`${id}.optional_args.args`, group["args"]),
    })),
    config: text(`${id}.config`, table["config"]) ?? "",
    env: texts(`${id}.env`, table["env"]),
    waitSocket: text(`${id}.wait_socket`, table["wait_socket"]) ?? "",
    timeoutSecs: text(`${id}.timeout_secs`, table["timeout_secs"]) ?? "",
  };
}

function parseVariant(what: string, value: unknown): ProcessVariant {
  const table = tableOf(what, value);
  return {
    path: text(`${what}.path`, table["path"]),
    args: list(`${what}.args`, table["args"]),
    env: texts(`${what}.env`, table["env"]),
  };
}

function chosenVariant(process: ManifestProcess, fill: (text: string) => string): ProcessVariant | undefined {
  const { id, variants } = process;
  if (variants.size === 0) return undefined;
  const selected = fill(process.select);
  const name = selected === "" ? DEFAULT_VARIANT : selected;
  const variant = variants.get(name);
  if (variant === undefined) {
    throw refused(`${id}: expected a variant ${[...variants.keys()].sort().join(", ")}, got ${name}`);
  }
  return variant;
}

function substituted(template: string, variables: ReadonlyMap<string, string>, id: string): string {
  return template.replaceAll(/\$\{(?<name>[^}]*)(?<end>\}?)/gu, (_, name: string, end: string) => {
    const value = end === "" ? undefined : variables.get(name);
    if (value === undefined) throw refused(`${id}: expected a known variable, got ${JSON.stringify(name)}`);
    return value;
  });
}

/** Below the extension: neither absolute nor upwards. */
function within(root: string, path: string, what: string): string {
  if (path === "" || path.startsWith("/") || path.split("/").includes("..")) {
    throw refused(`${what}: expected a path within the extension, got ${JSON.stringify(path)}`);
  }
  return `${root}/${path}`;
}

function seconds(value: string, id: string): number {
  if (!/^\d{1,6}$/u.test(value)) throw refused(`${id}.timeout_secs: expected a number`);
  return Number(value);
}

type Table = Readonly<Record<string, unknown>>;

function tableOf(what: string, value: unknown): Table {
  if (value === undefined) return {};
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw refused(`${what}: expected a table`);
  return value as Table;
}

function tables(what: string, value: unknown): Table[] {
  if (value === undefined) return [];
  if (!Array.isArray(value)) throw refused(`${what}: expected tables`);
  return value.map((entry) => tableOf(what, entry));
}

function text(what: string, value: unknown): string | undefined {
  if (value === undefined || typeof value === "string") return value;
  throw refused(`${what}: expected a string`);
}

function list(what: string, value: unknown): string[] {
  const entries: unknown = value ?? [];
  if (!Array.isArray(entries)) throw refused(`${what}: expected strings`);
  return entries.map((entry) => text(what, entry) ?? "");
}

function texts(what: string, value: unknown): ReadonlyMap<string, string> {
  return new Map(Object.entries(tableOf(what, value)).map(([name, entry]) => [name, text(what, entry) ?? ""]));
}

function refused(problem: string): Error {
  return internalError(`components manifest: ${problem}`);
}
