import {
  type Document,
  isAlias,
  isMap,
  isNode,
  isScalar,
  isSeq,
  LineCounter,
  parseAllDocuments,
  type Tags,
  visit,
} from "yaml";

import { GenPolicyError } from "./error.ts";
import { Fields, type PathStep, type Place } from "./fields.ts";
import { items, type Placed } from "./lists.ts";
import { readValues, type Values } from "./values.ts";

/** A manifest is read whole; a pod's is a few KiB. In characters. */
export const MAX_MANIFEST: number = 16 * 1024 * 1024;

/** Anchors that are used again; manifests written by people have a few. */
const MAX_ALIASES = 1000;

/** A file of manifests. */
export interface ManifestFile {
  readonly name: string;
  readonly text: string;
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
/** Of these, nothing may be passed over. */
const KINDS: ReadonlySet<string> = new Set([...WORKLOADS, "ConfigMap", "Secret"]);

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
  for (const { place, value } of files.flatMap(parseFile)) {
    const fields = Fields.of(place, value);
    const kind = fields.needed("kind");
    fields.ignore("apiVersion");
    if (WORKLOADS.has(kind)) workloads.push({ kind, fields });
    else if (kind === "ConfigMap" || kind === "Secret") values.push(readValues(kind, fields));
    else others.push(kind);
  }
  return { workloads, values, others };
}

function parseFile({ name, text }: ManifestFile): readonly Placed[] {
  if (text.length > MAX_MANIFEST) {
    throw new GenPolicyError("manifest", `${name}: expected at most ${MAX_MANIFEST} characters`);
  }
  const lineCounter = new LineCounter();
  const documents = parseAllDocuments(text, { ...YAML_OF_KUBERNETES, lineCounter, prettyErrors: false });
  return documents.flatMap((document) => {
    const [error] = document.errors;
    if (error !== undefined) {
      throw new GenPolicyError("manifest", `${name}:${lineCounter.linePos(error.pos[0]).line}: ${error.message}`);
    }
    const value = toValue(document, name);
    refuseCircles(document, (offset) => `${name}:${lineCounter.linePos(offset).line}`);
    if (value === null || value === undefined) return [];
    const line: Place["line"] = (path) => lineCounter.linePos(offsetOf(document, path)).line;
    return items({ place: { file: name, line, path: [] }, value }, KINDS);
  });
}

/** Anchors may refer to each other so often that the whole has no end; the parser counts. */
function toValue(document: Document.Parsed, name: string): unknown {
  try {
    return document.toJS({ maxAliasCount: MAX_ALIASES });
  } catch (cause) {
    throw new GenPolicyError("manifest", `${name}: ${cause instanceof Error ? cause.message : String(cause)}`, {
      cause,
    });
  }
}

/** What stands in itself has no end, and no JSON. */
function refuseCircles(document: Document.Parsed, place: (offset: number) => string): void {
  visit(document, {
    Alias: (_, alias, above) => {
      const meant = alias.resolve(document);
      if (meant !== undefined && above.some((node) => node === meant)) {
        throw new GenPolicyError("manifest", `${place(alias.range?.[0] ?? 0)}: an alias of what it stands in`);
      }
    },
  });
}

/** Where a value's key or, in a list, the value stands; of what is not there, where that would be. */
function offsetOf(document: Document.Parsed, path: readonly PathStep[]): number {
  let node: unknown = document.contents;
  let offset = document.contents?.range[0] ?? document.range[0];
  for (const step of path) {
    if (isAlias(node)) node = node.resolve(document);
    const pair = isMap(node) ? node.items.find(({ key }) => isScalar(key) && key.value === step) : undefined;
    const item = isSeq(node) && typeof step === "number" ? node.items[step] : pair?.value;
    const at = pair === undefined ? item : pair.key;
    if (!isNode(at) || at.range == null) return offset;
    [offset] = at.range;
    node = item;
  }
  return offset;
}
