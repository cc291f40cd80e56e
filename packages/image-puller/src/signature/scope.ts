import { formatReference, type Reference } from "oci-client";
import { nameOf } from "./identity.ts";
import type { Requirement, SignaturePolicy } from "./policy.ts";

/**
 * The requirements for an image by the name that was asked for, and the scope that they stand under: the most specific one
 * there is (containers-policy.json(5)): the whole reference, the repository, each part of it from its beginning, the registry,
 * wildcards of its domain from the longest on, all names, the default.
 */
export function requirementsFor(
  policy: SignaturePolicy,
  asked: Reference,
): { readonly scope: string; readonly requirements: readonly Requirement[] } {
  for (const scope of scopesOf(asked)) {
    const requirements = policy.scopes.get(scope);
    if (requirements !== undefined) return { scope: `docker ${JSON.stringify(scope)}`, requirements };
  }
  return { scope: "default", requirements: policy.fallback };
}

function* scopesOf(asked: Reference): Generator<string, void, undefined> {
  yield formatReference(asked);
  // A reference with both is known by its digest, but a scope of the tagged name is about this image, too.
  const { tag, digest } = asked;
  if (tag !== undefined && digest !== undefined) yield `${nameOf(asked)}@${digest}`;
  let name = nameOf(asked);
  yield name;
  for (let slash = name.lastIndexOf("/"); slash >= 0; slash = name.lastIndexOf("/")) {
    name = name.slice(0, slash);
    yield name;
  }
  // An address in brackets has no domain.
  let domain = asked.registry.startsWith("[") ? "" : asked.registry.replace(/:[0-9]+$/u, "");
  for (let dot = domain.indexOf("."); dot >= 0; dot = domain.indexOf(".")) {
    domain = domain.slice(dot + 1);
    yield `*.${domain}`;
  }
  yield "";
}
