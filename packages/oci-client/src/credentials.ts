import { isObject, parseJsonObject } from "./document.ts";
import { OciError } from "./error.ts";
import { networkHost, type Reference } from "./reference.ts";

/** A registry account. */
export interface Credentials {
  readonly username: string;
  readonly password: string;
}

/** Splits `user:password` at the first colon. @throws OciError `configuration` without one. */
export function parseUserPassword(text: string): Credentials {
  const colon = text.indexOf(":");
  if (colon < 0) throw new OciError("configuration", "registry credentials are not user:password");
  return { username: text.slice(0, colon), password: text.slice(colon + 1).replaceAll(/^\n+|\n+$/g, "") };
}

/**
 * The accounts of an `auth.json` (containers-auth.json(5)): of its members only `auth` is understood, and each entry
 * must have one, because a half-read account file would turn into anonymous pulls without a word.
 */
export class CredentialStore {
  readonly #entries: ReadonlyMap<string, Credentials>;

  private constructor(entries: ReadonlyMap<string, Credentials>) {
    this.#entries = entries;
  }

  /** @throws OciError `configuration` or `document` when the file is not of this form. */
  static parse(bytes: Uint8Array): CredentialStore {
    const auths = parseJsonObject("registry credentials", bytes)["auths"];
    if (!isObject(auths)) throw new OciError("configuration", "registry credentials: auths is not an object");
    const entries = new Map<string, Credentials>();
    for (const [key, entry] of Object.entries(auths)) {
      const auth = isObject(entry) ? entry["auth"] : undefined;
      if (typeof auth !== "string" || !/^[A-Za-z0-9+/]+={0,2}$/.test(auth) || auth.length % 4 !== 0) {
        throw new OciError("configuration", `registry credentials: ${key} has no auth in base64`);
      }
      entries.set(key, parseUserPassword(Buffer.from(auth, "base64").toString("utf8")));
    }
    return new CredentialStore(entries);
  }

  /** The account for a repository: its longest matching path, then the registry under any of its spellings. */
  find(reference: Pick<Reference, "registry" | "repository">): Credentials | undefined {
    const parts = [reference.registry, ...reference.repository.split("/")];
    for (let length = parts.length; length > 0; length -= 1) {
      const exact = this.#entries.get(parts.slice(0, length).join("/"));
      if (exact !== undefined) return exact;
    }
    const host = plainHost(reference.registry);
    for (const [key, credentials] of this.#entries) if (plainHost(key) === host) return credentials;
    return undefined;
  }
}

/** Docker writes keys such as `https://index.docker.io/v1/`. */
function plainHost(key: string): string {
  const host = key.replace(/^https?:\/\//, "").split("/")[0] ?? "";
  return host === "registry-1.docker.io" ? "index.docker.io" : networkHost(host);
}
