import { generateKeyPairSync, X509Certificate } from "node:crypto";
import { mkdirSync, mkdtempDisposableSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { describe, expect, it } from "vitest";

import { parseConfig } from "../src/config.ts";
import { Admin } from "../src/kbs/admin.ts";
import { TokenVerifier } from "../src/kbs/token-verifier.ts";
import { openConfig } from "../src/open-config.ts";
import type { TrusteeOptions } from "../src/trustee.ts";
import { certificate, ecKey } from "./certificates.ts";
import { signJwt } from "./kbs/test-trustee.ts";

type Fetch = (url: string) => Buffer | string | undefined;

const open = (
  text: string,
  log: string[] = [],
  more: { readonly fetch?: Fetch; readonly allowInsecureAdmin?: boolean } = {},
): Promise<TrusteeOptions> =>
  openConfig(parseConfig(`[http_server]\ninsecure_http = true\nworker_count = 2\n${text}`, "toml"), {
    allowInsecureAdmin: more.allowInsecureAdmin ?? false,
    log: (line) => void log.push(line),
    fetchBytes: (url) => {
      const found = more.fetch?.(url);
      return found === undefined ? Promise.reject(new Error(`nothing at ${url}`)) : Promise.resolve(Buffer.from(found));
    },
  });

const tpmKeys = ({ attestation }: TrusteeOptions) =>
  attestation !== undefined && "tpmKeys" in attestation ? attestation.tpmKeys : undefined;

it("takes the attestation keys of TPMs from their folder, and does not start without it", async () => {
  using folder = mkdtempDisposableSync(join(tmpdir(), "trustee-keys-"));
  const keys = join(folder.path, "keys");
  const text = `[attestation_service]\ntype = "coco_as_builtin"\n[attestation_service.verifier_config.tpm_verifier]
trusted_ak_keys_dir = "${keys}"\nmax_trusted_ak_keys = 1\n`;
  await expect(open(text)).rejects.toThrow(`${keys}: expected a folder of attestation keys`);
  mkdirSync(keys);
  expect(tpmKeys(await open(text))).toEqual([]);
  const { publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  writeFileSync(join(keys, "one.pem"), publicKey.export({ type: "spki", format: "pem" }));
  expect(tpmKeys(await open(text))?.[0]?.equals(publicKey)).toBe(true);
  writeFileSync(join(keys, "two.pem"), "no key");
  await expect(open(text)).rejects.toThrow("at most 1 attestation keys");
  await expect(open(text.replace("max_trusted_ak_keys = 1", ""))).rejects.toThrow("two.pem: expected a public key");
});

describe("keys of tokens", () => {
  const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const jwk = { ...publicKey.export({ format: "jwk" }), kid: "one", alg: "ES256" };
  const set = JSON.stringify({ keys: [jwk] });
  const exp = Math.floor(Date.now() / 1000) + 300;
  const claims = { exp, "tee-pubkey": { kty: "EC", crv: "P-256", alg: "ECDH-ES+A256KW", x: "a", y: "b" } };
  const token = signJwt({ alg: "ES256", typ: "JWT", kid: "one" }, claims, privateKey);
  const sets = (uri: string): string => `[attestation_token]\ntrusted_jwk_sets = ["${uri}"]\n`;
  const believed = async (options: TrusteeOptions): Promise<unknown> =>
    (await new TokenVerifier(options.tokens, Date.now).verify(token)).claims;

  it("are read from a file, by its path or its address", async () => {
    using folder = mkdtempDisposableSync(join(tmpdir(), "trustee-jwks-"));
    const path = join(folder.path, "keys.json");
    writeFileSync(path, set);
    expect(await believed(await open(sets(path)))).toEqual(claims);
    expect(await believed(await open(sets(`file://${path}`)))).toEqual(claims);
  });

  it("are fetched over https, also where a provider names them, and never otherwise", async () => {
    const direct: Fetch = (url) => (url === "https://as/jwks" ? set : undefined);
    expect(await believed(await open(sets("https://as/jwks"), [], { fetch: direct }))).toEqual(claims);
    const named =
      (next: string): Fetch =>
      (url) =>
        ({
          "https://as": "<html>",
          "https://as/.well-known/openid-configuration": JSON.stringify({ jwks_uri: next }),
          "https://as/certs": set,
          "http://as/certs": set,
        })[url];
    expect(await believed(await open(sets("https://as"), [], { fetch: named("https://as/certs") }))).toEqual(claims);
    for (const fetch of [named("http://as/certs"), named("file:///etc/passwd"), named("https://as/none")])
      await expect(open(sets("https://as"), [], { fetch })).rejects.toThrow();
    await expect(open(sets("http://as/jwks"), [], { fetch: () => set })).rejects.toThrow(
      "http://as/jwks: expected https://, file:// or a path",
    );
  });

  it.each([
    ["[]"],
    ["{}"],
    ['{"keys":"x"}'],
    ['{"keys":[1]}'],
    ['{"keys":[],"keys":[]}'],
    [`{"keys":${"[".repeat(200)}${"]".repeat(200)}}`],
  ])("are none in %s", async (text) => {
    await expect(open(sets("https://as/jwks"), [], { fetch: () => text })).rejects.toThrow();
  });

  it("are those of trusted certificates: a chain in the token leads there", async () => {
    using folder = mkdtempDisposableSync(join(tmpdir(), "trustee-certs-"));
    const root = ecKey();
    const names = { subject: "leaf", issuer: "root" };
    const rootDer = certificate({ subject: "root", key: root.publicKey, signer: root.privateKey, ca: true });
    const leaf = certificate({ ...names, key: publicKey, signer: root.privateKey });
    const path = join(folder.path, "root.pem");
    writeFileSync(path, new X509Certificate(rootDer).toString());
    const { tokens } = await open(`[attestation_token]\ntrusted_certs_paths = ["${path}"]\n`);
    const x5c = [leaf.toString("base64")];
    const signed = (key: object): string => signJwt({ alg: "ES256", typ: "JWT", jwk: key }, claims, privateKey);
    const verifier = new TokenVerifier(tokens, Date.now);
    expect((await verifier.verify(signed({ ...jwk, x5c }))).claims).toEqual(claims);
    await expect(verifier.verify(signed(jwk))).rejects.toMatchObject({ code: "token" });
    const stranger = certificate({ ...names, key: publicKey, signer: ecKey().privateKey });
    await expect(verifier.verify(signed({ ...jwk, x5c: [stranger.toString("base64")] }))).rejects.toThrow();
  });

  it("are needed: nobody is believed for want of anybody", async () => {
    const { tokens } = await open("");
    expect(() => new TokenVerifier(tokens, Date.now)).toThrow("expected trusted certificates");
  });
});

describe("administration", () => {
  it("is nobody's without a word about it, and everybody's only with the flag", async () => {
    expect((await open("")).admin).toEqual({ mode: "DenyAll" });
    const everybody = '[admin]\nauthorization_mode = "InsecureAllowAll"\n';
    await expect(open(everybody)).rejects.toThrow("it needs the flag --insecure-admin");
    expect((await open(everybody, [], { allowInsecureAdmin: true })).admin).toEqual({ mode: "InsecureAllowAll" });
  });

  it("is whose tokens a set of keys or a key verifies", async () => {
    const { publicKey, privateKey } = generateKeyPairSync("ed25519");
    const set = JSON.stringify({ keys: [{ ...publicKey.export({ format: "jwk" }), kid: "k" }] });
    const text = `[admin]\nauthorization_mode = "AuthenticatedAuthorization"
[admin.authentication.bearer_jwt]\nidentity_providers = [{ issuer = "i", audience = "a", jwk_set_uri = "https://idp" }]
[admin.authorization.regex_acl]\nacls = [{ role = "admin", allowed_endpoints = "^/kbs/.+$" }]\n`;
    const { admin } = await open(text, [], { fetch: () => set });
    const exp = Math.floor(Date.now() / 1000) + 60;
    const allowed = (claims: object, kid = "k"): Promise<string> => {
      const all = { iss: "i", aud: "a", role: "admin", exp, ...claims };
      const token = signJwt({ alg: "EdDSA", typ: "JWT", kid }, all, privateKey);
      return new Admin(admin, Date.now).authorize(`Bearer ${token}`, "/kbs/v0/resource/a/b/c");
    };
    expect(await allowed({})).toBe("admin");
    for (const claims of [
      { iss: "x" },
      { aud: ["x"] },
      { role: "other" },
      { role: undefined },
      { exp: 1 },
      { exp: "x" },
    ])
      await expect(allowed(claims)).rejects.toThrow(/Admin access denied/u);
    await expect(allowed({}, "other")).rejects.toThrow("Cannot verify token with any of the issuers");
    await expect(open(text.replace("https://idp", "http://idp"))).rejects.toThrow("expected https://");
  });
});

it("needs a certificate where it does not say that it goes without", async () => {
  const fetchBytes = (): Promise<Uint8Array> => Promise.reject(new Error("no network here"));
  const opening = openConfig(parseConfig("", "toml"), { allowInsecureAdmin: false, log: () => {}, fetchBytes });
  await expect(opening).rejects.toThrow("expected private_key and certificate, or insecure_http = true");
});

it("names settings without effect", async () => {
  const log: string[] = [];
  await open("", log);
  expect(log).toEqual(["configuration: http_server.worker_count has no effect here"]);
});
