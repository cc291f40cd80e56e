import { formatReference, parseReference, type Reference } from "oci-client";
import { invalid, object, text } from "./members.ts";

/** How the name in a signature must be the name that was asked for (containers-policy.json(5), signedIdentity). */
export type SignedIdentity =
  | { readonly type: "matchExact" | "matchRepoDigestOrExact" | "matchRepository" }
  | { readonly type: "exactReference"; readonly reference: string }
  | { readonly type: "exactRepository"; readonly repository: string }
  | { readonly type: "remapIdentity"; readonly prefix: string; readonly signedPrefix: string };

const DEFAULT: SignedIdentity = { type: "matchRepoDigestOrExact" };

/** @throws PullError `configuration` */
export function parseIdentity(what: string, value: unknown): SignedIdentity {
  if (value === undefined) return DEFAULT;
  const where = `${what}: signedIdentity`;
  const type = object(where, value).get("type");
  switch (type) {
    case "matchExact":
    case "matchRepoDigestOrExact":
    case "matchRepository":
      object(where, value, ["type"]);
      return { type };
    case "exactReference": {
      const reference = text(
        `${where}: dockerReference`,
        object(where, value, ["type", "dockerReference"]).get("dockerReference"),
      );
      const parsed = signedName(reference);
      if (parsed?.tag === undefined && parsed?.digest === undefined) {
        throw invalid(`${where}: dockerReference: expected a name with a tag or digest`);
      }
      return { type, reference: formatReference(parsed) };
    }
    case "exactRepository": {
      const members = object(where, value, ["type", "dockerRepository"]);
      const repository = signedName(text(`${where}: dockerRepository`, members.get("dockerRepository")));
      if (repository === undefined) throw invalid(`${where}: dockerRepository: expected a name`);
      return { type, repository: nameOf(repository) };
    }
    case "remapIdentity": {
      const members = object(where, value, ["type", "prefix", "signedPrefix"]);
      const prefix = text(`${where}: prefix`, members.get("prefix"));
      const signedPrefix = text(`${where}: signedPrefix`, members.get("signedPrefix"));
      if (!PREFIX.test(prefix) || !PREFIX.test(signedPrefix)) {
        throw invalid(`${where}: expected prefixes that are host names or names, without tag or digest`);
      }
      return { type, prefix, signedPrefix };
    }
    default:
      throw invalid(`${where}: unknown type`);
  }
}

const PREFIX = /^[A-Za-z0-9](?:[A-Za-z0-9._-]|:[0-9]+(?:\/|$)|\/(?=[a-z0-9]))*$/u;

/**
 * Whether a signature that names `signed` speaks of the image that was asked for as `asked`. Names are compared in their
 * complete form: `busybox` is `docker.io/library/busybox`, and a name without tag and digest names no image.
 */
export function identityHolds(identity: SignedIdentity, asked: Reference, signed: string): boolean {
  const named = signedName(signed);
  if (named === undefined) return false;
  switch (identity.type) {
    case "matchExact":
      return exact(asked, named);
    case "matchRepoDigestOrExact":
      return repoDigestOrExact(asked, named);
    case "matchRepository":
      return nameOf(asked) === nameOf(named);
    case "exactReference":
      return formatReference(named) === identity.reference;
    case "exactRepository":
      return nameOf(named) === identity.repository;
    case "remapIdentity": {
      const remapped = remap(asked, identity.prefix, identity.signedPrefix);
      return remapped !== undefined && repoDigestOrExact(remapped, named);
    }
  }
}

/** The name of a digest reference says which bytes are meant, which the signature says by itself: the repository counts. */
function repoDigestOrExact(asked: Reference, named: Reference): boolean {
  return asked.digest === undefined ? exact(asked, named) : nameOf(asked) === nameOf(named);
}

/** A digest reference is never exactly a signed name: signatures name tags. */
function exact(asked: Reference, named: Reference): boolean {
  if (asked.digest !== undefined || asked.tag === undefined) return false;
  return named.digest === undefined && named.tag === asked.tag && nameOf(named) === nameOf(asked);
}

/** `asked` under the signer's prefix; itself where the prefix is not its own. Prefixes end where a part of the name ends. */
function remap(asked: Reference, prefix: string, signedPrefix: string): Reference | undefined {
  const name = nameOf(asked);
  if (name !== prefix && !name.startsWith(`${prefix}/`)) return asked;
  const remapped = signedName(`${signedPrefix}${name.slice(prefix.length)}`);
  if (remapped === undefined) return undefined;
  const { tag, digest } = asked;
  return {
    registry: remapped.registry,
    repository: remapped.repository,
    ...(tag === undefined ? {} : { tag }),
    ...(digest === undefined ? {} : { digest }),
  };
}

/** A name as written, without the tag that a pull would add to it; undefined where it is none. */
function signedName(text: string): Reference | undefined {
  try {
    const reference = parseReference(text);
    const bare = !/[:@]/u.test(text.slice(text.lastIndexOf("/") + 1));
    return bare ? { registry: reference.registry, repository: reference.repository } : reference;
  } catch {
    return undefined;
  }
}

/** Registry and repository. */
export function nameOf({ registry, repository }: Reference): string {
  return `${registry}/${repository}`;
}
