import {
  decodeInitdataAnnotation,
  encodeInitdataAnnotation,
  IMAGE_HEADER,
  INITDATA_ANNOTATION,
  parseImageHeader,
  readInitdataImage,
  writeInitdataImage,
} from "@nacre/kbs-protocol";

import { NacreError } from "../error.ts";

/** How a document is passed on. */
export const FORMS = ["toml", "annotation", "image", "configmap"] as const;
export type InitdataForm = (typeof FORMS)[number];

/** A document, and in what it was found. */
export interface FoundDocument {
  readonly form: InitdataForm;
  readonly toml: Buffer;
}

/** What a ConfigMap is called, and under which key it has the annotation's text. */
export interface ConfigMapNames {
  readonly name: string;
  readonly namespace: string | undefined;
  readonly key: string;
}

/** Writes a document. A ConfigMap is YAML. Rejects with KbsProtocolError. */
export async function writeForm(form: InitdataForm, toml: Buffer, names: ConfigMapNames): Promise<Buffer> {
  switch (form) {
    case "toml":
      return toml;
    case "annotation":
      return Buffer.from(`${await encodeInitdataAnnotation(toml)}\n`);
    case "image":
      return await writeInitdataImage(toml);
    case "configmap":
      return Buffer.from(configMap(await encodeInitdataAnnotation(toml), names));
  }
}

/** Reads any of the forms. Rejects with NacreError `input` or KbsProtocolError. */
export async function readForm(bytes: Buffer): Promise<FoundDocument> {
  if (bytes.length >= IMAGE_HEADER && parseImageHeader(bytes.subarray(0, IMAGE_HEADER)) !== undefined) {
    return { form: "image", toml: await readInitdataImage(bytes) };
  }
  const text = bytes.toString("utf8");
  const annotation = text.trim();
  if (/^[A-Za-z0-9+/]+=*$/u.test(annotation)) {
    return { form: "annotation", toml: await decodeInitdataAnnotation(annotation) };
  }
  const inManifest = manifestText(text);
  if (inManifest !== undefined) return { form: "configmap", toml: await decodeInitdataAnnotation(inManifest) };
  return { form: "toml", toml: bytes };
}

/**
 * What a Kyverno policy copies into the pods' annotation: the annotation's very text under one key, since such a policy
 * cannot compress.
 */
function configMap(annotation: string, { name, namespace, key }: ConfigMapNames): string {
  for (const [what, value] of Object.entries({ name, namespace: namespace ?? "default" })) {
    if (!/^[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?$/u.test(value)) {
      throw new NacreError("usage", `--${what}: expected a name as Kubernetes has them, got ${JSON.stringify(value)}`);
    }
  }
  if (!/^[-._A-Za-z0-9]{1,253}$/u.test(key)) throw new NacreError("usage", "--key: expected a key of a ConfigMap");
  return [
    "apiVersion: v1",
    "kind: ConfigMap",
    "metadata:",
    `  name: ${JSON.stringify(name)}`,
    ...(namespace === undefined ? [] : [`  namespace: ${JSON.stringify(namespace)}`]),
    "data:",
    `  ${JSON.stringify(key)}: ${JSON.stringify(annotation)}`,
    "",
  ].join("\n");
}

/** The one long base64 text of a manifest: a ConfigMap's, or a pod's annotation. Gzip begins with the same three bytes. */
function manifestText(text: string): string | undefined {
  if (!/^\s*(?:---|apiVersion:|kind:|metadata:|\{)/mu.test(text)) return undefined;
  const found = [...text.matchAll(/(?<=["'\s:])H4sI[A-Za-z0-9+/]+=*(?=["'\s]|$)/gu)].map(([match]) => match);
  const [only, ...more] = new Set(found);
  if (only === undefined) return undefined;
  if (more.length > 0) {
    throw new NacreError("input", `expected one ${INITDATA_ANNOTATION} in the manifest, got ${more.length + 1}`);
  }
  return only;
}
