import { errorText, parseMessage, type TokenTrust, TokenVerifier } from "@nacre/trustee";

import { NacreError } from "../error.ts";
import { remarksOn } from "./judge.ts";
import { devicesOf, type Fields, isFields, type Proof, type Remark, shown } from "./proof.ts";

/** What a token says, and who said it. Throws NacreError `refused` for a token that its own key did not sign. */
export async function proofOfToken(
  subject: string,
  text: string,
  { certificates, jwks }: Pick<TokenTrust, "certificates" | "jwks">,
  references: readonly string[],
): Promise<Proof> {
  const token = tokenOf(text);
  const trusted = certificates.length + jwks.length > 0;
  const verifier = new TokenVerifier({ certificates, jwks, insecureHeaderJwk: !trusted, extraKeyPaths: [] }, Date.now);
  let claims: Fields;
  try {
    ({ claims } = await verifier.verify(token));
  } catch (cause) {
    throw new NacreError("refused", `${subject}: the token does not hold: ${errorText(cause)}`, { cause });
  }
  const expected = Object.assign({}, ...references.map((message) => parseMessage(message))) as Fields;
  const devices = devicesOf(claims, new Map([["", expected]]));
  return {
    subject,
    facts: [
      ["issuer", shown(claims["iss"])],
      ["issued", time(claims["iat"])],
      ["valid until", time(claims["exp"])],
    ],
    remarks: [signature(trusted), ...remarksOn(claims, teesOf(claims))],
    devices,
  };
}

/** Seconds of Unix time; a token may say anything. */
function time(value: unknown): string {
  const date = new Date(typeof value === "number" ? value * 1000 : Number.NaN);
  return Number.isNaN(date.getTime()) ? "unknown" : date.toISOString();
}

function signature(trusted: boolean): Remark {
  return trusted
    ? { tone: "good", text: "The token is signed by a service that was named as trusted." }
    : {
        tone: "bad",
        text: "The token is signed by the key in its own header: anybody can make such a one. Name whom to trust.",
      };
}

/** The token by itself, or as the attestation agent gives it, with the guest's key. */
function tokenOf(text: string): string {
  const trimmed = text.trim();
  if (!trimmed.startsWith("{")) return trimmed;
  try {
    const { token } = JSON.parse(trimmed) as { readonly token?: unknown };
    if (typeof token === "string") return token;
  } catch {
    // Told below.
  }
  throw new NacreError("input", "token: expected a JSON Web Token, or JSON with one");
}

function teesOf(claims: Fields): readonly string[] {
  const { submods } = claims;
  return Object.values(isFields(submods) ? submods : {}).flatMap((part) => {
    const evidence = isFields(part) ? part["ear.veraison.annotated-evidence"] : undefined;
    return isFields(evidence) ? Object.keys(evidence) : [];
  });
}
