import { parseAllDocuments, type Tags } from "yaml";

import { GenPolicyError } from "./error.ts";
import { Fields } from "./fields.ts";

/** A manifest is read whole; a pod's is a few KiB. In characters. */
export const MAX_MANIFEST: number = 16 * 1024 * 1024;

/** A file of manifests. */
export interface ManifestFile {
  readonly name: string;
  readonly text: string;
}

/** Values of a ConfigMap or Secret. */
export interface Values {
  readonly kind: "ConfigMap" | "Secret";
  readonly name: string;
  /** Text, or bytes that need not be. */
  readonly data: ReadonlyMap<string, Buffer>;
}

/** What the files hold of what matters here. */
export interface Documents {
  /** Objects that pods are made from. */
  readonly workloads: ReadonlyArray<{ readonly kind: string; readonly fields: Fields }>;
  readonly values: readonly Values[];
  /** Kinds that were passed over. */
  readonly others: readonly string[];
}

const WORKLOADS = new Set(["Pod", "Deployment", "Job", "StatefulSet", "DaemonSet", "CronJob", "ReplicaSet"]);

/** YAML 1.1 as Go's reader has it: without times, and without numbers to the base of 60. */
const YAML_OF_KUBERNETES = {
  version: "1.1",
  uniqueKeys: true,
  merge: true,
  customTags: (tags: Tags): Tags =>
    tags.filter(
      (tag) =>
        typeof tag === "string" ||
        (tag.tag !== "tag:yaml.org,2002:timestamp" && !("format" in tag && tag.format === "TIME")),
    ),
} as const;

/** Reads all documents of the files. @throws GenPolicyError `manifest` */
export function readDocuments(files: readonly ManifestFile[]): Documents {
  const workloads: Array<{ kind: string; fields: Fields }> = [];
  const values: Values[] = [];
  const others: string[] = [];
  for (const { path, value } of files.flatMap(parseFile)) {
    const fields = Fields.of(path, value);
    const kind = fields.needed("kind");
    fields.ignore("apiVersion");
    if (WORKLOADS.has(kind)) workloads.push({ kind, fields });
    else if (kind === "ConfigMap" || kind === "Secret") values.push(readValues(kind, fields));
    else others.push(kind);
  }
  return { workloads, values, others };
}

function parseFile({ name, text }: ManifestFile): ReadonlyArray<{ readonly path: string; readonly value: unknown }> {
  if (text.length > MAX_MANIFEST) {
    throw new GenPolicyError("manifest", `${name}: expected at most ${MAX_MANIFEST} characters`);
  }
  return parseAllDocuments(text, YAML_OF_KUBERNETES).flatMap((document) => {
    const [error] = document.errors;
    if (error !== undefined) throw new GenPolicyError("manifest", `${name}: ${error.message}`, { cause: error });
    const value: unknown = document.toJS();
    if (value === null || value === undefined) return [];
    const { kind, items } = value as { readonly kind?: unknown; readonly items?: unknown };
    if (kind === "List" && Array.isArray(items)) return items.map((item: unknown) => ({ path: name, value: item }));
    return [{ path: name, value }];
  });
}

function readValues(kind: "ConfigMap" | "Secret", fields: Fields): Values {
  const name = (fields.child("metadata") ?? Fields.of(fields.path, {})).needed("name");
  const [encoded, plain] = kind === "Secret" ? ["data", "stringData"] : ["binaryData", "data"];
  const data = new Map<string, Buffer>();
  for (const [key, value] of Object.entries(fields.map(encoded))) data.set(key, Buffer.from(value, "base64"));
  for (const [key, value] of Object.entries(fields.map(plain))) data.set(key, Buffer.from(value));
  return { kind, name, data };
}
