import { parse } from "yaml";
import { parseDigest, type Reference } from "oci-client";
import { nameOf } from "./identity.ts";
import { invalid } from "./members.ts";
import { PullError } from "../error.ts";

/** Where simple signatures lie, by the names of images (containers-registries.d(5)). */
export interface LookasideConfig {
  readonly fallback: string | undefined;
  readonly scopes: ReadonlyMap<string, string>;
}

const MAX_CONFIG: number = 1024 * 1024;
/** `sigstore` is what image-rs and old releases of the tools read, `lookaside` what new ones do. */
const READ = ["lookaside", "sigstore"] as const;
/** Members for those who write signatures. */
const OTHERS = ["lookaside-staging", "sigstore-staging", "use-sigstore-attachments"];

/** @throws PullError `configuration` */
export function parseLookaside(bytes: Uint8Array): LookasideConfig {
  try {
    if (bytes.length > MAX_CONFIG) throw invalid(`${bytes.length} bytes, at most ${MAX_CONFIG}`);
    const text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    const root = members("file", parse(text, { maxAliasCount: 0, uniqueKeys: true, logLevel: "error" }) ?? {}, [
      "default-docker",
      "docker",
    ]);
    const fallback = root["default-docker"];
    const scopes = new Map<string, string>();
    for (const [scope, value] of Object.entries(members("docker", root["docker"] ?? {}))) {
      const url = place(`docker.${scope}`, value);
      if (url !== undefined) scopes.set(scope, url);
    }
    return { fallback: fallback === undefined ? undefined : place("default-docker", fallback), scopes };
  } catch (error) {
    throw new PullError("configuration", "Invalid sigstore configuration", { cause: error });
  }
}

/** The folder of an image's signatures, as a URL without a slash at its end; undefined where none is configured. */
export function signatureFolder(config: LookasideConfig, image: Reference, manifestDigest: string): string | undefined {
  const base = placeOf(config, nameOf(image)) ?? config.fallback;
  if (base === undefined) return undefined;
  const { algorithm, hex } = parseDigest(manifestDigest);
  return `${base.replace(/\/+$/u, "")}/${image.repository}@${algorithm}=${hex}`;
}

/** The most specific scope: the repository, its parents, the registry. */
function placeOf({ scopes }: LookasideConfig, name: string): string | undefined {
  for (let scope = name; ; scope = scope.slice(0, scope.lastIndexOf("/"))) {
    const found = scopes.get(scope);
    if (found !== undefined || !scope.includes("/")) return found;
  }
}

function place(what: string, value: unknown): string | undefined {
  const given = members(what, value, [...READ, ...OTHERS]);
  const url = READ.map((key) => given[key]).find((text) => text !== undefined);
  if (url === undefined) return undefined;
  if (typeof url !== "string" || !/^(?:file:\/\/\/|https?:\/\/[^/])/u.test(url) || !URL.canParse(url)) {
    throw invalid(`${what}: expected a URL file:///…, http://… or https://…`);
  }
  return url;
}

function members(what: string, value: unknown, known?: readonly string[]): Readonly<Record<string, unknown>> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw invalid(`${what}: expected a map`);
  const unknown = known === undefined ? undefined : Object.keys(value).find((key) => !known.includes(key));
  if (unknown !== undefined) throw invalid(`${what}: unknown member ${JSON.stringify(unknown.slice(0, 100))}`);
  return value as Readonly<Record<string, unknown>>;
}
