import { generateKeyPairSync, X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";

import { describe, expect, it } from "vitest";

import { FieldReader } from "../../src/fields.ts";
import { headerKey, type TokenTrust, TokenVerifier } from "../../src/kbs/token-verifier.ts";
import { parsePemChain } from "../../src/verifier/certificate.ts";
import { vectors } from "../../../../test/setup/data.ts";
import { certificate, ecKey } from "../certificates.ts";
import { flipped } from "../random.ts";
import { signJwt } from "./test-trustee.ts";

const NOW = Date.parse("2026-11-25T00:00:00Z");
const key = ecKey();
const teePubkey = { kty: "EC", crv: "P-256", alg: "ECDH-ES+A256KW", x: "a", y: "b" };
const claims = { exp: NOW / 1000 + 300, "tee-pubkey": teePubkey };
const nobody: TokenTrust = { certificates: [], jwks: [], insecureHeaderJwk: false, extraKeyPaths: [] };

function jwk(x5c?: readonly Buffer[]): Record<string, unknown> {
  const chain = x5c === undefined ? {} : { x5c: x5c.map((der) => der.toString("base64")) };
  return { ...key.publicKey.export({ format: "jwk" }), alg: "ES256", ...chain };
}

function token(header: Record<string, unknown>, said: unknown = claims, signer = key.privateKey): string {
  return signJwt({ alg: "ES256", typ: "JWT", ...header }, said, signer);
}

const verify = async (text: string, trust: Partial<TokenTrust>, now = NOW): Promise<unknown> =>
  (await new TokenVerifier({ ...nobody, ...trust }, () => now).verify(text)).claims;

describe("a token", () => {
  const root = ecKey();
  const ca = ecKey();
  const rootDer = certificate({ subject: "root", key: root.publicKey, signer: root.privateKey, ca: true });
  const caDer = certificate({ subject: "ca", issuer: "root", key: ca.publicKey, signer: root.privateKey, ca: true });
  const leaf = (change: object = {}): Buffer =>
    certificate({ subject: "leaf", issuer: "ca", key: key.publicKey, signer: ca.privateKey, ...change });
  const certificates = [new X509Certificate(rootDer)];

  it("is believed by a chain to a trusted certificate", async () => {
    expect(await verify(token({ jwk: jwk([leaf(), caDer]) }), { certificates })).toEqual(claims);
    expect(await verify(token({ jwk: jwk([leaf(), caDer, rootDer]) }), { certificates })).toEqual(claims);
    const own = leaf();
    expect(await verify(token({ jwk: jwk([own]) }), { certificates: [new X509Certificate(own)] })).toEqual(claims);
  });

  it("is believed by a key of a set, by the set's algorithm", async () => {
    const jwks = [{ ...jwk(), kid: "1" }];
    expect(await verify(token({ kid: "1" }), { jwks })).toEqual(claims);
    await expect(verify(token({ kid: "2" }), { jwks })).rejects.toMatchObject({ code: "token" });
    await expect(verify(token({ kid: "1", alg: "ES384" }), { jwks })).rejects.toMatchObject({ code: "token" });
  });

  it("is believed by a trusted certificate's key, by the service's own, and insecurely by any", async () => {
    expect(await verify(token({}), { certificates: [new X509Certificate(leaf())] })).toEqual(claims);
    expect(await verify(token({ jwk: jwk() }), { ownKey: key.publicKey })).toEqual(claims);
    expect(await verify(token({ jwk: jwk() }), { insecureHeaderJwk: true })).toEqual(claims);
  });

  const unsigned = `${token({ alg: "none" }).split(".").slice(0, 2).join(".")}.`;
  const secret = generateKeyPairSync("ec", { namedCurve: "P-256" });
  it.each([
    ["without a signature", unsigned],
    [
      "without a signature, with a key",
      `${token({ alg: "none", jwk: jwk([leaf(), caDer]) })
        .split(".")
        .slice(0, 2)
        .join(".")}.`,
    ],
    ["with a key of its own", token({ jwk: jwk() })],
    ["with an empty chain", token({ jwk: jwk([]) })],
    [
      "with somebody else's chain",
      token(
        { jwk: { ...secret.publicKey.export({ format: "jwk" }), alg: "ES256", x5c: jwk([leaf(), caDer])["x5c"] } },
        claims,
        secret.privateKey,
      ),
    ],
    ["with a chain that stops", token({ jwk: jwk([leaf()]) })],
    ["by a certificate that has run out", token({ jwk: jwk([leaf({ to: "20260101000000Z" }), caDer]) })],
    [
      "below a certificate that is no authority",
      token({ jwk: jwk([leaf({ issuer: "leaf2", signer: key.privateKey }), leaf(), caDer]) }),
    ],
    ["with a shared secret for a key", token({ jwk: { kty: "oct", k: "AAAA", alg: "HS256" } })],
    ["with text behind it", `${token({ jwk: jwk([leaf(), caDer]) })}.x`],
    ["changed", token({ jwk: jwk([leaf(), caDer]) }).replace(/\.(.)/u, (_, c: string) => `.${c === "e" ? "f" : "e"}`)],
    ["that is none", "zz"],
    ["that is empty", ""],
  ])("%s is refused", async (_, text) => {
    await expect(verify(text, { certificates, jwks: [{ ...jwk(), kid: "k" }] })).rejects.toThrow();
  });

  it.each([
    ["without an end", {}],
    ["that has ended", { exp: NOW / 1000 - 61 }],
    ["whose end is no time", { exp: "2030" }],
  ])("%s is refused", async (_, said) => {
    await expect(verify(token({ jwk: jwk() }, said), { insecureHeaderJwk: true })).rejects.toMatchObject({
      code: "token",
    });
  });

  it("is refused later, when it has ended, though it was believed before", async () => {
    let now = NOW;
    const verifier = new TokenVerifier({ ...nobody, insecureHeaderJwk: true }, () => now);
    const text = token({ jwk: jwk() });
    await verifier.verify(text);
    now += 361_000;
    await expect(verifier.verify(text)).rejects.toThrow("run out");
  });

  it("has the guest's key at one of several places, the configured ones first", () => {
    const verifier = new TokenVerifier({ ...nobody, insecureHeaderJwk: true, extraKeyPaths: ["/a~1b/k"] }, () => NOW);
    const at = (x: string): unknown => ({ ...teePubkey, x });
    const everywhere = {
      "a/b": { k: at("extra") },
      tdx: { attester_runtime_data: { "tee-pubkey": at("runtime") }, attester_user_data: { "tee-pubkey": at("user") } },
      customized_claims: { runtime_data: { "tee-pubkey": at("custom") } },
      submods: { cpu0: { "ear.veraison.annotated-evidence": { runtime_data_claims: { "tee-pubkey": at("ear") } } } },
      "tee-pubkey": at("top"),
    };
    const order = ["a/b", "tdx", "customized_claims", "submods", "tee-pubkey"] as const;
    const left: Record<string, unknown> = { ...everywhere };
    for (const [name, x] of order.map((name, i) => [name, ["extra", "runtime", "custom", "ear", "top"][i]] as const)) {
      expect(verifier.teeKey(left)).toMatchObject({ x });
      delete left[name];
    }
    expect(() => verifier.teeKey(left)).toThrow("expected the guest's key");
  });

  it("needs somebody to be believed from", () => {
    expect(() => new TokenVerifier(nobody, () => NOW)).toThrow("expected trusted certificates");
  });
});

const folder = vectors("kbs/jwk");
if (folder !== undefined) {
  it.each([
    ["01", true],
    ["02", false],
    ["03", false],
    ["04", false],
    ["05", true],
    ["06", true],
    ["07", true],
  ])("the recorded scenario %s", (scenario, good) => {
    const pem = readFileSync(`${folder}/scenario${scenario}-trust.pem`, "utf8");
    const value = JSON.parse(readFileSync(`${folder}/scenario${scenario}-jwk.json`, "utf8")) as Record<string, unknown>;
    const trust = { ...nobody, certificates: parsePemChain(pem, "trust") };
    // A time at which its certificates hold.
    const [first] = trust.certificates;
    const then = first === undefined ? 0 : Date.parse(first.validFrom) + 86_400_000;
    const check = (): unknown =>
      headerKey(new FieldReader(value, "jwk", "token"), trust, Math.max(then, ...chainStarts(value)));
    if (good) check();
    else expect(check).toThrow();
  });

  it.each(["01", "05", "06", "07"])(
    "the recorded scenario %s is refused after a change of any byte of a certificate, or of its key",
    (scenario) => {
      const pem = readFileSync(`${folder}/scenario${scenario}-trust.pem`, "utf8");
      const value = JSON.parse(readFileSync(`${folder}/scenario${scenario}-jwk.json`, "utf8")) as Record<
        string,
        unknown
      >;
      const trust = { ...nobody, certificates: parsePemChain(pem, "trust") };
      const now =
        Math.max(...trust.certificates.map(({ validFrom }) => Date.parse(validFrom)), ...chainStarts(value)) + 1000;
      const check = (changed: object): unknown =>
        headerKey(new FieldReader({ ...value, ...changed }, "jwk", "token"), trust, now);
      check({});
      const x5c = (value["x5c"] as string[]).map((entry): Buffer => Buffer.from(entry, "base64"));
      for (const [index, der] of x5c.entries()) {
        // One that is trusted itself is not taken from the token.
        if (trust.certificates.some(({ raw }) => raw.equals(der))) continue;
        for (let at = index; at < der.length; at += 3) {
          const changed = x5c.with(index, flipped(der, at, at % 8)).map((bytes) => bytes.toString("base64"));
          expect(() => check({ x5c: changed }), `certificate ${index}, byte ${at}`).toThrow();
        }
      }
      for (const name of ["n", "e", "x", "y"]) {
        const text = value[name];
        if (typeof text !== "string") continue;
        const bytes = Buffer.from(text, "base64url");
        for (let at = 0; at < bytes.length; at++) {
          expect(() => check({ [name]: flipped(bytes, at, at % 8).toString("base64url") }), `${name} ${at}`).toThrow();
        }
      }
    },
  );
}

function chainStarts(value: Record<string, unknown>): readonly number[] {
  const chain = Array.isArray(value["x5c"]) ? (value["x5c"] as string[]) : [];
  return chain.map((entry) => Date.parse(new X509Certificate(Buffer.from(entry, "base64")).validFrom) + 1000);
}
