import { createHash, createPublicKey, type KeyObject, X509Certificate } from "node:crypto";

import { parseTeePublicKey, type TeePublicKey } from "@nacre/kbs-protocol";
import { compactVerify, type JWK } from "jose";

import { TrusteeError } from "../error.ts";
import { decodeBase64, FieldReader, type Fields, isFields } from "../fields.ts";
import { parseJsonBytes } from "../json.ts";
import { expectValidAt, MAX_CERTIFICATE, MAX_CHAIN, parseCertificate } from "../verifier/certificate.ts";

/** Whom tokens are believed from (spec trustee 1.4). */
export interface TokenTrust {
  /** Of the attestation service in this process. */
  readonly ownKey?: KeyObject;
  readonly certificates: readonly X509Certificate[];
  readonly jwks: readonly JWK[];
  /** Believe a token by the key in its own header: for development. */
  readonly insecureHeaderJwk: boolean;
  /** JSON pointers to the guest's key, looked at before the known ones. */
  readonly extraKeyPaths: readonly string[];
}

/** A token that was verified: what it says, and whom replies are encrypted to. */
export interface VerifiedToken {
  readonly claims: Fields;
  readonly digest: string;
}

/** Characters of a token; one that repeats an event log has hundreds of thousands. */
export const MAX_TOKEN: number = 4 * 1024 * 1024;
const ALGORITHMS = ["ES256", "ES384", "ES512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "EdDSA"];
const LEEWAY_S = 60;
const REMEMBERED = 256;
/** Characters of one: guests choose much of what a token repeats, and all of them together must fit. */
const MAX_REMEMBERED: number = 64 * 1024;

const KEY_PATHS: readonly string[] = [
  "/tdx/attester_runtime_data/tee-pubkey",
  "/tdx/attester_user_data/tee-pubkey",
  "/customized_claims/runtime_data/tee-pubkey",
  "/submods/cpu0/ear.veraison.annotated-evidence/runtime_data_claims/tee-pubkey",
  "/tee-pubkey",
];

/** Verifies tokens of attestation services. One that was found good is remembered until it runs out, unless it is long. */
export class TokenVerifier {
  readonly #trust: TokenTrust;
  readonly #now: () => number;
  readonly #remembered = new Map<string, { readonly token: VerifiedToken; readonly exp: number }>();

  /** Throws `config` where nothing at all would be believed. */
  constructor(trust: TokenTrust, now: () => number) {
    if (
      trust.ownKey === undefined &&
      trust.certificates.length === 0 &&
      trust.jwks.length === 0 &&
      !trust.insecureHeaderJwk
    ) {
      throw new TrusteeError(
        "config",
        "attestation_token: expected trusted certificates or key sets, or insecure_header_jwk",
      );
    }
    this.#trust = trust;
    this.#now = now;
  }

  /** Rejects with `token`. */
  async verify(token: string): Promise<VerifiedToken> {
    if (token.length > MAX_TOKEN) throw new TrusteeError("token", "token: too long");
    const digest = createHash("sha256").update(token).digest("hex");
    const known = this.#remembered.get(digest);
    if (known !== undefined) {
      expectCurrent(known.exp, this.#now());
      return known.token;
    }
    const claims = await this.#verifySignature(token);
    return this.#remember(token, digest, claims);
  }

  /** A token that was made in this process: its signature needs no look when the guest comes back with it. */
  issuedHere(token: string): void {
    const [, payload = ""] = token.split(".", 2);
    const claims = parseJsonBytes(Buffer.from(payload, "base64url"), "token", "token");
    if (isFields(claims)) this.#remember(token, createHash("sha256").update(token).digest("hex"), claims);
  }

  #remember(token: string, digest: string, claims: Fields): VerifiedToken {
    const exp = expectCurrent(claims["exp"], this.#now());
    const verified = { claims, digest };
    if (token.length > MAX_REMEMBERED) return verified;
    this.#remembered.set(digest, { token: verified, exp });
    const [oldest] = this.#remembered.keys();
    if (this.#remembered.size > REMEMBERED && oldest !== undefined) this.#remembered.delete(oldest);
    return verified;
  }

  /** The key that replies go to. Throws `token` where the claims have none. */
  teeKey(claims: Fields): TeePublicKey {
    for (const path of [...this.#trust.extraKeyPaths, ...KEY_PATHS]) {
      const value = atPointer(claims, path);
      if (value !== undefined) return parseTeePublicKey(value);
    }
    throw new TrusteeError("token", "token: expected the guest's key in its claims");
  }

  async #verifySignature(token: string): Promise<Fields> {
    const header = readHeader(token);
    const candidates = this.#keys(header);
    for (const { key, alg } of candidates) {
      try {
        const { payload } = await compactVerify(token, key, { algorithms: alg === undefined ? ALGORITHMS : [alg] });
        const claims = parseJsonBytes(payload, "token", "token");
        if (!isFields(claims)) throw new TrusteeError("token", "token: expected an object of claims");
        return claims;
      } catch (cause) {
        if (cause instanceof TrusteeError) throw cause;
      }
    }
    throw new TrusteeError("token", "token: expected the signature of a key that is trusted");
  }

  /** Keys that may have signed, in the order in which they are tried. */
  #keys(header: FieldReader): readonly { readonly key: KeyObject; readonly alg?: string }[] {
    if (header.get("jwk") !== undefined) return [headerKey(header.object("jwk"), this.#trust, this.#now())];
    const kid = header.optionalText("kid");
    const named = this.#trust.jwks.filter((jwk) => kid !== undefined && jwk.kid === kid);
    if (named.length > 0) {
      return named.map((jwk) => {
        if (jwk.alg === undefined) throw new TrusteeError("token", "token: its key's set names no algorithm for it");
        return { key: importJwk(jwk), alg: jwk.alg };
      });
    }
    return this.#trust.certificates.map(({ publicKey }) => ({ key: publicKey }));
  }
}

function readHeader(token: string): FieldReader {
  const [head = ""] = token.split(".", 1);
  const bytes = decodeBase64(head, 128 * 1024, () => "token header", "token");
  return new FieldReader(parseJsonBytes(bytes, "token header", "token"), "token header", "token");
}

/** The key in the header, once its certificates lead to a trusted one. */
export function headerKey(
  jwk: FieldReader,
  trust: TokenTrust,
  now: number,
): { readonly key: KeyObject; readonly alg: string } {
  const key = importJwk(jwk.fields);
  const alg = jwk.text("alg");
  if (trust.insecureHeaderJwk || trust.ownKey?.equals(key) === true) return { key, alg };
  const chain = jwk.list("x5c", MAX_CHAIN).map((entry) => {
    if (typeof entry !== "string") throw jwk.error("x5c", "expected texts");
    return parseCertificate(
      decodeBase64(entry, MAX_CERTIFICATE, () => "token header.jwk.x5c", "token"),
      "x5c",
    );
  });
  const [own] = chain;
  if (own === undefined || !own.publicKey.equals(key)) throw jwk.error("x5c", "expected a chain for the key");
  expectTrusted(chain, trust.certificates, now);
  return { key, alg };
}

/** From the key's certificate by issuers among the others, in whatever order they came, to a trusted one; all valid now. */
function expectTrusted(chain: readonly X509Certificate[], trusted: readonly X509Certificate[], now: number): void {
  const [own, ...others] = chain;
  for (let at = own; at !== undefined;) {
    const current: X509Certificate = at;
    expectValidAt(current, now, "x5c");
    if (trusted.some(({ raw }) => raw.equals(current.raw))) return;
    const anchor = trusted.find((one) => isIssuedBy(current, one));
    if (anchor !== undefined) {
      expectValidAt(anchor, now, "trusted certificate");
      return;
    }
    const next = others.findIndex((one) => isIssuedBy(current, one));
    // Each is taken once, so that certificates that issued each other lead nowhere.
    at = next < 0 ? undefined : others.splice(next, 1)[0];
  }
  throw new TrusteeError("token", "x5c: expected a chain to a trusted certificate");
}

function isIssuedBy(certificate: X509Certificate, issuer: X509Certificate): boolean {
  return issuer.ca && certificate.checkIssued(issuer) && isSignedBy(certificate, issuer);
}

function isSignedBy(certificate: X509Certificate, issuer: X509Certificate): boolean {
  try {
    return certificate.verify(issuer.publicKey);
  } catch {
    return false;
  }
}

function importJwk(jwk: JWK): KeyObject {
  // Never a shared secret: whoever holds the set would make tokens.
  if (jwk.kty !== "EC" && jwk.kty !== "RSA" && jwk.kty !== "OKP")
    throw new TrusteeError("token", "token: expected a public key");
  try {
    const { kty, crv, x, y, n, e } = jwk;
    return createPublicKey({ key: { kty, crv, x, y, n, e } as JWK, format: "jwk" });
  } catch (cause) {
    throw new TrusteeError("token", "token: expected a public key", { cause });
  }
}

function expectCurrent(exp: unknown, now: number): number {
  if (typeof exp !== "number") throw new TrusteeError("token", "token: expected the time when it runs out");
  if (now / 1000 > exp + LEEWAY_S) throw new TrusteeError("token", "token: it has run out");
  return exp;
}

/** RFC 6901. */
function atPointer(value: unknown, pointer: string): unknown {
  let at = value;
  for (const part of pointer.split("/").slice(1)) {
    const name = part.replaceAll("~1", "/").replaceAll("~0", "~");
    if (!isFields(at) || !Object.hasOwn(at, name)) return undefined;
    at = at[name];
  }
  return at;
}
