import { isObject, type JsonObject } from "./document.ts";
import { OciError } from "./error.ts";
import { formatReference, parseReference, type Reference } from "./reference.ts";

/** One place to try for an image. */
export interface PullSource {
  readonly reference: Reference;
  /** Plain HTTP. */
  readonly insecure: boolean;
}

export interface Mirror {
  readonly location: string;
  readonly insecure: boolean;
}

export interface RegistryRule {
  readonly prefix: string;
  /** What replaces the prefix; empty: the name stays. */
  readonly location: string;
  readonly insecure: boolean;
  readonly blocked: boolean;
  readonly mirrors: readonly Mirror[];
}

/** The subset of containers-registries.conf(5) version 2 that image-rs reads. */
export interface RegistryConfig {
  readonly searchRegistries: readonly string[];
  readonly rules: readonly RegistryRule[];
}

export const DEFAULT_REGISTRIES: RegistryConfig = { searchRegistries: ["docker.io"], rules: [] };

/**
 * Checks a parsed registries configuration. A member that is not understood is refused: ignoring, say,
 * `mirror-by-digest-only` would pull from where the author forbade it.
 *
 * @throws OciError `configuration`
 */
export function parseRegistryConfig(value: unknown): RegistryConfig {
  const root = table("registry configuration", value, ["unqualified-search-registries", "registry"]);
  const search = root["unqualified-search-registries"] ?? DEFAULT_REGISTRIES.searchRegistries;
  if (!Array.isArray(search) || !search.every((host) => typeof host === "string")) {
    throw invalid("unqualified-search-registries is not a list of strings");
  }
  return { searchRegistries: search, rules: tables("registry", root["registry"]).map(parseRule) };
}

/**
 * The places to try for an image, in order: for each search registry its mirrors, then its other location or itself.
 * The digest of the reference stays on every one of them.
 *
 * @throws OciError `blocked` when no place is left, `reference` when a rule makes an illegal name.
 */
export function expandReference(config: RegistryConfig, reference: Reference): readonly PullSource[] {
  const sources: PullSource[] = [];
  const blocked: string[] = [];
  for (const candidate of candidates(config, reference)) {
    const name = `${candidate.registry}/${candidate.repository}`;
    const rule = bestRule(config.rules, name);
    if (rule === undefined) {
      sources.push({ reference: candidate, insecure: false });
      continue;
    }
    if (rule.blocked) {
      blocked.push(`image ${formatReference(candidate)} is blocked by registry rule ${rule.prefix}`);
      continue;
    }
    for (const mirror of rule.mirrors) {
      sources.push({ reference: relocate(candidate, rule.prefix, mirror.location), insecure: mirror.insecure });
    }
    const own = rule.location === "" ? candidate : relocate(candidate, rule.prefix, rule.location);
    sources.push({ reference: own, insecure: rule.insecure });
  }
  if (sources.length === 0) throw new OciError("blocked", blocked.join("\n") || "no registry to search");
  return sources;
}

/** An image of docker.io may have been named without a registry: it is looked for in each search registry. */
function candidates(config: RegistryConfig, reference: Reference): readonly Reference[] {
  if (reference.registry !== "docker.io") return [reference];
  return config.searchRegistries.map((registry) =>
    registry === "docker.io"
      ? reference
      : { ...reference, registry, repository: reference.repository.replace(/^library\//, "") },
  );
}

function bestRule(rules: readonly RegistryRule[], name: string): RegistryRule | undefined {
  let best: RegistryRule | undefined;
  let bestLength = 0;
  for (const rule of rules) {
    const length = matchedLength(rule.prefix, name);
    if (length > bestLength) [best, bestLength] = [rule, length];
  }
  return best;
}

/** How much of `name` a prefix covers: from its start, up to a component boundary; 0 when it does not match. */
function matchedLength(prefix: string, name: string): number {
  if (prefix.startsWith("*.")) {
    const end = name.indexOf("/");
    const host = name.slice(0, end).replace(/:[0-9]+$/, "");
    return host.length > prefix.length - 1 && host.endsWith(prefix.slice(1)) ? end : 0;
  }
  if (!name.startsWith(prefix)) return 0;
  const next = name[prefix.length];
  return next === undefined || next === "/" || (next === ":" && !prefix.includes("/")) ? prefix.length : 0;
}

function relocate(reference: Reference, prefix: string, location: string): Reference {
  const name = `${reference.registry}/${reference.repository}`;
  const { tag, digest } = reference;
  const moved = `${location}${name.slice(matchedLength(prefix, name))}`;
  const parsed = parseReference(
    `${moved}${tag === undefined ? "" : `:${tag}`}${digest === undefined ? "" : `@${digest}`}`,
  );
  return { ...parsed, ...(digest === undefined ? {} : { digest }) };
}

function parseRule(value: unknown): RegistryRule {
  const rule = table("registry", value, ["prefix", "location", "insecure", "blocked", "mirror"]);
  const location = text(rule, "location");
  const prefix = text(rule, "prefix") || location;
  if (prefix === "") throw invalid("a registry needs a prefix or a location");
  if (prefix.startsWith("*.") && location === "") throw invalid(`prefix ${prefix} needs a location`);
  return {
    prefix,
    location,
    insecure: flag(rule, "insecure"),
    blocked: flag(rule, "blocked"),
    mirrors: tables("mirror", rule["mirror"]).map((entry) => {
      const mirror = table("mirror", entry, ["location", "insecure"]);
      if (text(mirror, "location") === "") throw invalid(`a mirror of ${prefix} has no location`);
      return { location: text(mirror, "location"), insecure: flag(mirror, "insecure") };
    }),
  };
}

function table(what: string, value: unknown, known: readonly string[]): JsonObject {
  if (!isObject(value)) throw invalid(`${what} is not a table`);
  const unknown = Object.keys(value).find((key) => !known.includes(key));
  if (unknown !== undefined) throw invalid(`${what} has the unknown key ${unknown}`);
  return value;
}

function tables(what: string, value: unknown): readonly unknown[] {
  if (value === undefined) return [];
  if (!Array.isArray(value)) throw invalid(`${what} is not a list of tables`);
  return value;
}

function text(from: JsonObject, key: string): string {
  const value = from[key] ?? "";
  if (typeof value !== "string") throw invalid(`${key} is not a string`);
  return value.replace(/\/+$/, "");
}

function flag(from: JsonObject, key: string): boolean {
  const value = from[key] ?? false;
  if (typeof value !== "boolean") throw invalid(`${key} is not true or false`);
  return value;
}

function invalid(why: string): OciError {
  return new OciError("configuration", `registry configuration: ${why}`);
}
