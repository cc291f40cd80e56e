import { PullError } from "../error.ts";
import { parseIdentity, type SignedIdentity } from "./identity.ts";
import { invalid, type Members, object, parseDocument, text } from "./members.ts";

/** What an image must fulfil (containers-policy.json(5)). */
export type Requirement =
  | { readonly type: "insecureAcceptAnything" | "reject" }
  | { readonly type: "signedBy"; readonly keys: readonly KeySource[]; readonly identity: SignedIdentity }
  | { readonly type: "sigstoreSigned"; readonly keys: readonly KeySource[]; readonly identity: SignedIdentity };

/** Where a key lies: in the policy itself, or at a path or URI. */
export type KeySource = { readonly data: Uint8Array } | { readonly path: string };

export interface SignaturePolicy {
  readonly fallback: readonly Requirement[];
  /** By scope: a name or the beginning of one, `*.domain`, or empty for all. */
  readonly scopes: ReadonlyMap<string, readonly Requirement[]>;
}

/** A policy is written by people. */
export const MAX_POLICY: number = 1024 * 1024;
/** Requirements in one list, keys in one requirement. */
const MAX_LIST = 64;
/** The transport of images that come from registries; of the others none is pulled here. */
const TRANSPORT = "docker";

/**
 * Reads a `policy.json`. Everything in it is understood, or the whole policy is refused: also what is there for other
 * transports, an unknown or doubled member, an empty list.
 *
 * @throws PullError `configuration`, `Invalid image policy file` with the reason
 */
export function parseSignaturePolicy(bytes: Uint8Array): SignaturePolicy {
  try {
    if (bytes.length > MAX_POLICY) throw invalid(`${bytes.length} bytes, at most ${MAX_POLICY}`);
    const root = object("policy", parseDocument("policy", bytes), ["default", "transports"]);
    const fallback = requirements("default", root.get("default"));
    const scopes = new Map<string, readonly Requirement[]>();
    const transports = root.has("transports")
      ? object("transports", root.get("transports"))
      : new Map<string, unknown>();
    for (const [transport, value] of transports) {
      for (const [scope, list] of object(`transports.${transport}`, value)) {
        const parsed = requirements(`${transport} ${JSON.stringify(scope)}`, list);
        if (transport === TRANSPORT) scopes.set(checkedScope(scope), parsed);
      }
    }
    return { fallback, scopes };
  } catch (error) {
    throw new PullError("configuration", "Invalid image policy file", { cause: error });
  }
}

function requirements(what: string, value: unknown): readonly Requirement[] {
  if (!Array.isArray(value) || value.length === 0 || value.length > MAX_LIST) {
    throw invalid(`${what}: expected a list of 1 to ${MAX_LIST} requirements`);
  }
  return value.map((item: unknown, index) => requirement(`${what}, requirement ${index}`, item));
}

function requirement(what: string, value: unknown): Requirement {
  const members = object(what, value);
  const type = text(`${what}: type`, members.get("type"));
  switch (type) {
    case "insecureAcceptAnything":
    case "reject":
      object(what, value, ["type"]);
      return { type };
    case "signedBy": {
      object(what, value, ["type", "keyType", "keyPath", "keyPaths", "keyData", "signedIdentity"]);
      if (members.get("keyType") !== "GPGKeys") throw invalid(`${what}: expected keyType GPGKeys`);
      return { type, keys: keySources(what, members), identity: parseIdentity(what, members.get("signedIdentity")) };
    }
    case "sigstoreSigned": {
      object(what, value, ["type", "keyPath", "keyPaths", "keyData", "keyDatas", "signedIdentity"]);
      return { type, keys: keySources(what, members), identity: parseIdentity(what, members.get("signedIdentity")) };
    }
    default:
      throw invalid(`${what}: unknown type ${JSON.stringify(type.slice(0, 100))}`);
  }
}

const KEY_MEMBERS = ["keyPath", "keyPaths", "keyData", "keyDatas"] as const;

function keySources(what: string, members: Members): readonly KeySource[] {
  const given = KEY_MEMBERS.filter((key) => members.has(key));
  const [key] = given;
  if (key === undefined || given.length > 1)
    throw invalid(`${what}: expected exactly one of ${KEY_MEMBERS.join(", ")}`);
  const several = key === "keyPaths" || key === "keyDatas";
  const value = members.get(key);
  const list = several ? value : [value ?? ""];
  if (!Array.isArray(list) || list.length === 0 || list.length > MAX_LIST) {
    throw invalid(`${what}: ${key}: expected a list of 1 to ${MAX_LIST} texts`);
  }
  return list.map((item: unknown) => {
    const given = text(`${what}: ${key}`, item);
    return key === "keyPath" || key === "keyPaths" ? { path: given } : { data: keyBytes(`${what}: ${key}`, given) };
  });
}

/** Base64, as documented, or the text of a PEM file, as image-rs takes it. */
function keyBytes(what: string, given: string): Uint8Array {
  if (given.startsWith("-----BEGIN ")) return Buffer.from(given);
  const plain = given.replaceAll(/\s/gu, "");
  if (!/^[A-Za-z0-9+/]+={0,2}$/u.test(plain)) throw invalid(`${what}: expected base64`);
  return Buffer.from(plain, "base64");
}

/** A scope that can never match says that its writer meant something else. */
function checkedScope(scope: string): string {
  if (scope.startsWith("*.") && /[/:@*]/u.test(scope.slice(2))) {
    throw invalid(
      `scope ${JSON.stringify(scope.slice(0, 200))}: a wildcard stands before a domain, without port or path`,
    );
  }
  if (scope !== "" && !scope.startsWith("*.") && /\*|\/$|\s/u.test(scope)) {
    throw invalid(
      `scope ${JSON.stringify(scope.slice(0, 200))}: expected a name, a part of one from its beginning, or *.domain`,
    );
  }
  return scope;
}
