import type { KeyObject } from "node:crypto";

import { compactVerify } from "jose";

import { decodeBase64, FieldReader, type Fields, isFields } from "../fields.ts";
import { parseJsonBytes } from "../json.ts";

/** Who may administer the broker (spec trustee 1.5). */
export type AdminOptions =
  | { readonly mode: "DenyAll" }
  | { readonly mode: "InsecureAllowAll" }
  | {
      readonly mode: "AuthenticatedAuthorization";
      readonly providers: readonly IdentityProvider[];
      readonly rules: readonly AccessRule[];
    };

/** Whose tokens are accepted. */
export interface IdentityProvider {
  readonly issuer?: string;
  readonly audience?: string;
  readonly keys: readonly { readonly key: KeyObject; readonly kid?: string }[];
}

export interface AccessRule {
  readonly role: string;
  /** Of a whole path, and of the same with its query. */
  readonly endpoints: RegExp;
}

const LEEWAY_S = 60;
const MAX_TOKEN = 64 * 1024;

/** Decides on administrative requests. Throws Error with the text that goes to the client. */
export class Admin {
  readonly #options: AdminOptions;
  readonly #now: () => number;

  constructor(options: AdminOptions, now: () => number) {
    this.#options = options;
    this.#now = now;
  }

  /** Resolves with the name of who is allowed, for the audit log. `target`: the path with its query. */
  async authorize(authorization: string | undefined, target: string): Promise<string> {
    if (this.#options.mode === "InsecureAllowAll") return "anyone";
    if (this.#options.mode === "DenyAll") throw new Error("Admin access denied: DenyAll mode enabled");
    const token = bearerToken(authorization);
    if (token === undefined) throw new Error("Failed to parse HTTP Auth Bearer header");
    const claims = await this.#authenticate(token, this.#options.providers);
    if (claims === undefined) throw new Error("Admin access denied: Cannot verify token with any of the issuers");
    const { role } = claims;
    if (typeof role !== "string") {
      const reason = 'AdminAccessDenied { reason: "Missing required `role` claim in JWT" }';
      throw new Error(`Admin access denied: Failed to parse claims from token: ${reason}`);
    }
    // Upstream looks at the path with its query alone: any path would meet a rule's end by what follows a "?".
    const [path = ""] = target.split("?", 1);
    const meets = (rule: AccessRule): boolean => rule.endpoints.test(path) && rule.endpoints.test(target);
    if (!this.#options.rules.some((rule) => rule.role === role && meets(rule))) {
      throw new Error(`Admin access denied: Role ${role} not allowed for path ${target}`);
    }
    return role;
  }

  async #authenticate(token: string, providers: readonly IdentityProvider[]): Promise<Fields | undefined> {
    if (token.length > MAX_TOKEN) return undefined;
    const kid = keyId(token);
    for (const provider of providers) {
      for (const { key, kid: own } of provider.keys) {
        if (own !== undefined && kid !== undefined && own !== kid) continue;
        try {
          const { payload } = await compactVerify(token, key, { algorithms: algorithmsOf(key) });
          const claims = parseJsonBytes(payload, "token", "token");
          if (isFields(claims) && isFor(claims, provider, this.#now())) return claims;
        } catch {
          // Not this key's.
        }
      }
    }
    return undefined;
  }
}

/** What follows "Bearer " in the header, spelt exactly so. */
export function bearerToken(header: string | undefined): string | undefined {
  return /^Bearer (\S+)$/u.exec(header ?? "")?.[1];
}

function keyId(token: string): string | undefined {
  try {
    const bytes = decodeBase64(token.split(".", 1)[0] ?? "", MAX_TOKEN, () => "token", "token");
    return new FieldReader(parseJsonBytes(bytes, "token", "token"), "token", "token").optionalText("kid");
  } catch {
    return undefined;
  }
}

/** What a key of this kind signs with: the token's header does not choose freely. */
function algorithmsOf(key: KeyObject): string[] {
  switch (key.asymmetricKeyType) {
    case "ed25519":
      return ["EdDSA", "Ed25519"];
    case "rsa":
      return ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"];
    default:
      return ["ES256", "ES384"];
  }
}

function isFor(claims: Fields, { issuer, audience }: IdentityProvider, now: number): boolean {
  const { exp, iss, aud } = claims;
  if (typeof exp !== "number" || now / 1000 > exp + LEEWAY_S) return false;
  if (issuer !== undefined && issuer !== "" && iss !== issuer) return false;
  if (audience === undefined || audience === "") return true;
  return Array.isArray(aud) ? aud.includes(audience) : aud === audience;
}
