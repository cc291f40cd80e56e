import { canonicalDigest } from "./digest.ts";
import { isObject, optionalText, optionalTextMap, optionalTexts, parseJsonObject } from "./document.ts";
import { OciError } from "./error.ts";

/** Image configurations carry the build history and can be long (design decision 6). */
export const MAX_CONFIG: number = 8 * 1024 * 1024;

/** The parts of an image configuration that are used (OCI image-spec 1.1, config.md). */
export interface ImageConfig {
  readonly os: string;
  readonly architecture: string;
  readonly variant?: string;
  readonly author?: string;
  readonly created?: string;
  readonly osVersion?: string;
  readonly osFeatures: readonly string[];
  /** Digests of the uncompressed layers, lowest first. */
  readonly diffIds: readonly string[];
  readonly entrypoint: readonly string[];
  readonly cmd: readonly string[];
  readonly env: readonly string[];
  readonly workingDir: string;
  readonly user: string;
  readonly stopSignal?: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly volumes: readonly string[];
  readonly exposedPorts: readonly string[];
}

/** @throws OciError `document` */
export function parseImageConfig(bytes: Uint8Array): ImageConfig {
  const what = "image configuration";
  const document = parseJsonObject(what, bytes);
  const rootfs = document["rootfs"];
  if (!isObject(rootfs) || rootfs["type"] !== "layers") {
    throw new OciError("document", `${what}: rootfs is not of type layers`);
  }
  const run = document["config"] ?? {};
  if (!isObject(run)) throw new OciError("document", `${what}: config is not an object`);
  const optional = (key: string, name: string, from = document): Record<string, string> => {
    const text = optionalText(what, from, key);
    return text === undefined ? {} : { [name]: text };
  };
  return {
    os: optionalText(what, document, "os") ?? "",
    architecture: optionalText(what, document, "architecture") ?? "",
    ...optional("variant", "variant"),
    ...optional("author", "author"),
    ...optional("created", "created"),
    ...optional("os.version", "osVersion"),
    osFeatures: optionalTexts(what, document, "os.features"),
    diffIds: optionalTexts(what, rootfs, "diff_ids").map(canonicalDigest),
    entrypoint: optionalTexts(what, run, "Entrypoint"),
    cmd: optionalTexts(what, run, "Cmd"),
    env: optionalTexts(what, run, "Env"),
    workingDir: optionalText(what, run, "WorkingDir") ?? "",
    user: optionalText(what, run, "User") ?? "",
    ...optional("StopSignal", "stopSignal", run),
    labels: optionalTextMap(what, run, "Labels"),
    volumes: keys(what, run["Volumes"]),
    exposedPorts: keys(what, run["ExposedPorts"]),
  };
}

function keys(what: string, value: unknown): readonly string[] {
  if (value === undefined || value === null) return [];
  if (!isObject(value)) throw new OciError("document", `${what}: expected a set written as an object`);
  return Object.keys(value);
}
