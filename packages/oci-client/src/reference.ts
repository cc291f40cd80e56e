import { canonicalDigest } from "./digest.ts";
import { OciError } from "./error.ts";

/**
 * An image reference in its complete form (the grammar of distribution/reference).
 * Tag and digest may both be there; the digest is what is asked for then.
 */
export interface Reference {
  readonly registry: string;
  readonly repository: string;
  readonly tag?: string;
  readonly digest?: string;
}

/** A repository name may have 255 characters (distribution/reference); the rest of the text is shorter than this. */
const MAX_REFERENCE = 1024;
const MAX_REPOSITORY = 255;

const LABEL = "(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])";
const HOST = new RegExp(`^(?:${LABEL}(?:\\.${LABEL})*|\\[[a-fA-F0-9:]+\\])(?::[0-9]{1,5})?$`);
const COMPONENT = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*$/;
const TAG = /^[a-zA-Z0-9_][a-zA-Z0-9_.-]{0,127}$/;

/**
 * Parses `[registry/]repository[:tag][@digest]`.
 *
 * The first part is a registry if it contains `.` or `:` or equals `localhost`; otherwise the image is of docker.io,
 * where one-part names are in `library/`. The tag is `latest` only when there is neither tag nor digest.
 *
 * @throws OciError `reference` for anything else.
 */
export function parseReference(text: string): Reference {
  const illegal = (why: string, cause?: unknown): OciError =>
    new OciError("reference", `Illegal image reference ${JSON.stringify(text.slice(0, 300))}: ${why}`, { cause });
  if (text.length > MAX_REFERENCE) throw illegal(`${text.length} characters, at most ${MAX_REFERENCE}`);
  const at = text.indexOf("@");
  const named = at < 0 ? text : text.slice(0, at);
  let digest: string | undefined;
  if (at >= 0) {
    try {
      digest = canonicalDigest(text.slice(at + 1));
    } catch (error) {
      throw illegal("the part after @ is not a digest", error);
    }
  }
  const colon = named.indexOf(":", named.lastIndexOf("/") + 1);
  const name = colon < 0 ? named : named.slice(0, colon);
  const tag = colon < 0 ? undefined : named.slice(colon + 1);
  if (tag !== undefined && !TAG.test(tag)) throw illegal("not a tag after the last colon");

  const slash = name.indexOf("/");
  const first = slash < 0 ? "" : name.slice(0, slash);
  const hasRegistry = /[.:]/.test(first) || first === "localhost";
  const registry = hasRegistry ? (first === "index.docker.io" ? "docker.io" : first) : "docker.io";
  let repository = hasRegistry ? name.slice(slash + 1) : name;
  if (registry === "docker.io" && !repository.includes("/")) repository = `library/${repository}`;
  if (!HOST.test(registry)) throw illegal("the registry is not a host name with an optional port");
  if (repository.length > MAX_REPOSITORY) throw illegal(`repository longer than ${MAX_REPOSITORY} characters`);
  if (!repository.split("/").every((part) => COMPONENT.test(part))) {
    throw illegal("a repository has lower-case letters, digits, and separators between them");
  }
  const effectiveTag = tag ?? (digest === undefined ? "latest" : undefined);
  return {
    registry,
    repository,
    ...(effectiveTag === undefined ? {} : { tag: effectiveTag }),
    ...(digest === undefined ? {} : { digest }),
  };
}

export function formatReference(reference: Reference): string {
  const { registry, repository, tag, digest } = reference;
  return `${registry}/${repository}${tag === undefined ? "" : `:${tag}`}${digest === undefined ? "" : `@${digest}`}`;
}

/** The host that serves a registry: docker.io is a name, index.docker.io a server. */
export function networkHost(registry: string): string {
  return registry === "docker.io" ? "index.docker.io" : registry;
}
