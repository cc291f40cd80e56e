import { createPrivateKey, createPublicKey, generateKeyPairSync, randomBytes } from "node:crypto";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { CompactSign, compactVerify, importJWK, type JWK } from "jose";
import { wrap } from "@nacre/ocicrypt";
import { SealedSecretService } from "@nacre/protocols";
import { reasonOf, TtrpcClient, TtrpcServer, transportPair } from "@nacre/ttrpc";
import { REASON_DOMAIN } from "@nacre/kbs-protocol";
import { afterAll, describe, expect, it } from "vitest";

import { jsonLines, vectors } from "../../../../test/setup/data.ts";
import { HubError } from "../../src/index.ts";
import { kmsOpener } from "../../src/kms/open-kms.ts";
import {
  formatSealedSecret,
  MAX_SEALED,
  parseSealedSecret,
  sealedSecretService,
  type SealedSecret,
  signJws,
  Unsealer,
  VerificationKeys,
} from "../../src/secret/index.ts";

const { signal } = new AbortController();
const KID = "kbs:///default/signing/pub";
const signer = generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey;
const jwk = (key = signer): string => JSON.stringify(createPublicKey(key).export({ format: "jwk" }));

const folder = mkdtempSync(join(tmpdir(), "nacre-sealed-"));
afterAll(() => rmSync(folder, { recursive: true }));

const DEK = randomBytes(32);
const VAULT: SealedSecret = {
  type: "vault",
  name: "kbs:///repo/type/tag",
  provider: "kbs",
  settings: {},
  annotations: {},
};
const IV = Buffer.alloc(12, 1);
const ENVELOPE: SealedSecret = {
  type: "envelope",
  keyId: "alias/key",
  encryptedKey: Buffer.from("encrypted"),
  data: { type: "A256GCM", iv: IV, data: wrap("A256GCM", DEK, IV, Buffer.from("in the envelope")) },
  provider: "Test",
  settings: { region: "x" },
  annotations: { a: "b" },
};

/** What was handed out, to see whether it was zeroed. */
const given: Buffer[] = [];
const hand = (bytes: Uint8Array): Promise<Buffer> => {
  given.push(Buffer.from(bytes));
  return Promise.resolve(given.at(-1) ?? Buffer.alloc(0));
};

function unsealer(options: { resources?: Record<string, string>; skipVerification?: boolean } = {}): Unsealer {
  const resources: Record<string, string> = {
    [KID]: jwk(),
    "kbs:///repo/type/tag": "from the vault",
    ...options.resources,
  };
  const get = (name: string): Promise<Buffer> => {
    const value = resources[name];
    return value === undefined ? Promise.reject(new HubError("missing", "there is none")) : hand(Buffer.from(value));
  };
  return new Unsealer({
    keys: new VerificationKeys({ get }, folder),
    skipVerification: options.skipVerification ?? false,
    openKms: kmsOpener({
      resources: { get },
      env: {},
      loadClients: () =>
        Promise.resolve({
          systemKmsPorts: () => ({}) as never,
          kmsClient: (name, settings) =>
            name !== "test"
              ? undefined
              : {
                  decrypt: (ciphertext, keyId, annotations) => {
                    expect([Buffer.from(ciphertext).toString(), keyId, annotations, settings]).toEqual([
                      "encrypted",
                      "alias/key",
                      { a: "b" },
                      { region: "x" },
                    ]);
                    return hand(DEK);
                  },
                  secret: () => Promise.reject(new HubError("denied", "no")),
                },
        }),
    }),
  });
}

const sealed = (secret: SealedSecret = VAULT, kid = KID, key = signer): Buffer =>
  Buffer.from(signJws(Buffer.from(formatSealedSecret(secret)), kid, key));
const unseal = async (secret: Uint8Array, options: Parameters<typeof unsealer>[0] = {}): Promise<string> =>
  (await unsealer(options).unseal(secret, signal)).toString();

async function joseSealed(payload: string, header: Record<string, unknown>, key: JWK): Promise<Buffer> {
  const jws = await new CompactSign(Buffer.from(payload))
    .setProtectedHeader(header as { alg: string })
    .sign(await importJWK(key, header["alg"] as string));
  return Buffer.from(`sealed.${jws}`);
}

describe("a sealed secret", () => {
  it("of a vault and of an envelope is opened, and its key zeroed", async () => {
    expect(await unseal(sealed())).toBe("from the vault");
    expect(await unseal(sealed(ENVELOPE))).toBe("in the envelope");
    expect(given.at(-1)).toEqual(Buffer.alloc(32));
    const iv = Buffer.alloc(16, 2);
    const data = { type: "A256CTR", iv, data: wrap("A256CTR", DEK, iv, Buffer.from("counter")) } as const;
    expect(await unseal(sealed({ ...ENVELOPE, data }))).toBe("counter");
  });

  it("is what jose signs and verifies", async () => {
    const key = signer.export({ format: "jwk" }) as JWK;
    expect(await unseal(await joseSealed(formatSealedSecret(VAULT), { alg: "ES256", kid: KID }, key))).toBe(
      "from the vault",
    );
    const { protectedHeader, payload } = await compactVerify(
      sealed().subarray("sealed.".length),
      await importJWK(JSON.parse(jwk()) as JWK, "ES256"),
    );
    expect(protectedHeader).toEqual({ alg: "ES256", kid: KID });
    expect(parseSealedSecret(payload)).toEqual(VAULT);
  });

  it("may lack its first word, as in the recording", async () => {
    expect(await unseal(sealed().subarray("sealed.".length))).toBe("from the vault");
  });

  it("may name a key in a file, which is a file of its folder and nothing else", async () => {
    writeFileSync(join(folder, "signer"), jwk());
    writeFileSync(join(folder, "..", "nacre-outside"), jwk());
    symlinkSync(join(folder, "signer"), join(folder, "link"));
    mkdirSync(join(folder, "dir"));
    expect(await unseal(sealed(VAULT, "signer"))).toBe("from the vault");
    for (const [name, code] of [
      ["none", "missing"],
      ["link", "missing"],
      ["dir", "malformed"],
      ["../nacre-outside", "malformed"],
      ["/etc/passwd", "malformed"],
      [".", "malformed"],
      ["a\0b", "malformed"],
    ] as const) {
      await expect(unseal(sealed(VAULT, name))).rejects.toMatchObject({ name: "HubError", code });
    }
    rmSync(join(folder, "..", "nacre-outside"));
  });

  const other = generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey;
  const p384 = generateKeyPairSync("ec", { namedCurve: "P-384" }).privateKey;
  const rsa = generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey;
  const text = (): string => sealed().toString();
  it.each<[string, () => Buffer | Promise<Buffer>, string, Record<string, string>?]>([
    ["signed with another key", () => sealed(VAULT, KID, other), "a signature of the key that it names"],
    ["changed", () => Buffer.from(text().replace(/\.e/u, ".f")), "expected"],
    ["with another payload", () => Buffer.from(swap(text(), sealed(ENVELOPE).toString())), "a signature of the key"],
    ["of the algorithm none", () => Buffer.from(header(text(), { alg: "none", kid: KID })), "of the algorithm ES256"],
    ["of an HMAC", () => Buffer.from(header(text(), { alg: "HS256", kid: KID })), "of the algorithm ES256"],
    ["of ES384", () => joseSealed("{}", { alg: "ES384", kid: KID }, p384.export({ format: "jwk" })), "ES256"],
    ["that names no key", () => Buffer.from(header(text(), { alg: "ES256" })), "a JWS that names its key"],
    [
      "with a critical extension",
      () => Buffer.from(header(text(), { alg: "ES256", kid: KID, crit: ["x"] })),
      "critical",
    ],
    [
      "with two algorithms",
      () => Buffer.from(rawHeader(text(), '{"alg":"ES256","alg":"none","kid":"x"}')),
      "expected JSON",
    ],
    ["without a signature", () => Buffer.from(text().split(".").slice(0, 3).join(".")), "expected"],
    ["with an empty signature", () => Buffer.from(`${text().split(".").slice(0, 3).join(".")}.`), "64 bytes"],
    ["with a part too many", () => Buffer.from(`${text()}.x`), "expected a JWS"],
    ["with a newline behind it", () => Buffer.from(`${text()}\n`), "expected a JWS"],
    ["with another first word", () => Buffer.from(text().replace("sealed", "seeled")), "expected a JWS"],
    ["with its first word twice", () => Buffer.from(`sealed.${text()}`), "expected a JWS"],
    ["that is nothing", () => Buffer.alloc(0), "expected a JWS"],
    ["that is not text", () => Buffer.from("sealed.é.é.é"), "expected a JWS"],
    ["that is too long", () => Buffer.alloc(MAX_SEALED + 1, 0x61), "at most"],
    ["that is not JSON", () => Buffer.from(signJws(Buffer.from("nope"), KID, signer)), "expected JSON"],
    ["of another version", () => payload({ version: "0.2.0" }), "version 0.1.0"],
    ["of no known type", () => payload({ type: "zz" }), "the type envelope or vault"],
    ["without annotations", () => payload({ annotations: undefined }), "the object annotations"],
    ["without settings", () => payload({ provider_settings: undefined }), "the object provider_settings"],
    [
      "of a provider that nobody knows",
      () => sealed({ ...VAULT, provider: "zz" }),
      "expected kbs, aws, aliyun or ehsm",
    ],
    ["whose vault is another plugin", () => sealed({ ...VAULT, name: "kbs+pkcs11:///a/b/c" }), "got one of pkcs11"],
    ["whose key is another plugin's", () => sealed(VAULT, "kbs+pkcs11:///a/b/c"), "got one of pkcs11"],
    ["whose vault's name is none", () => sealed({ ...VAULT, name: "/etc/passwd" }), "expected kbs:///PATH"],
    ["encrypted by the broker", () => sealed({ ...ENVELOPE, provider: "kbs" }), "it does not decrypt"],
    [
      "whose data was changed",
      () => sealed({ ...ENVELOPE, data: { ...ENVELOPE.data, data: Buffer.alloc(40) } }),
      "does not open it",
    ],
    [
      "with an IV of the wrong length",
      () => sealed({ ...ENVELOPE, data: { ...ENVELOPE.data, iv: Buffer.alloc(16) } }),
      "an IV of 12 bytes",
    ],
    ["whose key is not JSON", () => sealed(), "verification key: expected JSON", { [KID]: "nope" }],
    ["whose key is of P-384", () => sealed(), "a JWK of P-256", { [KID]: jwk(p384) }],
    ["whose key is of RSA", () => sealed(), "a JWK of P-256", { [KID]: jwk(rsa) }],
    ["whose key is a secret", () => sealed(), "a JWK of P-256", { [KID]: '{"kty":"oct","k":"AAAA"}' }],
    [
      "whose key is no point",
      () => sealed(),
      "a point of P-256",
      { [KID]: '{"kty":"EC","crv":"P-256","x":"AA","y":"AA"}' },
    ],
  ])("%s is refused", async (_, make, why, resources) => {
    const secret = await make();
    const failed = unseal(secret, resources === undefined ? {} : { resources });
    await expect(failed).rejects.toThrow(why);
    await expect(failed).rejects.toMatchObject({ code: expect.stringMatching(/^(?:malformed|uri)$/u) as string });
  });

  it("is taken whoever signed it where that is asked for, in the form of old", async () => {
    const fake = Buffer.from(`${text().split(".").slice(0, 3).join(".")}.fakesignature`);
    await expect(unseal(fake)).rejects.toThrow("expected");
    expect(await unseal(fake, { skipVerification: true })).toBe("from the vault");
    expect(await unseal(sealed(VAULT, KID, other), { skipVerification: true })).toBe("from the vault");
    for (const bad of [text().slice("sealed.".length), `${text()}.x`, "a.b.c.d", text().replace("sealed", "x")]) {
      await expect(unseal(Buffer.from(bad), { skipVerification: true })).rejects.toThrow("sealed.HEADER.PAYLOAD");
    }
  });

  it("fails over ttRPC with upstream's sentence and a reason, and is in no line of the log", async () => {
    const lines: string[] = [];
    const [near, far] = transportPair();
    const handlers = sealedSecretService(
      () => Promise.resolve(unsealer({ resources: { "kbs:///repo/type/none": "" } })),
      (_, line) => lines.push(line),
    );
    new TtrpcServer().addService(SealedSecretService, handlers).serve(far);
    const call = (secret: Uint8Array) =>
      new TtrpcClient(near).call(SealedSecretService.methods.UnsealSecret, { secret });
    expect(Buffer.from((await call(sealed())).plaintext).toString()).toBe("from the vault");
    expect(given.at(-1)).toEqual(Buffer.alloc("from the vault".length));
    expect(lines.join("\n")).not.toContain("vault");
  });

  it("that is missing says so", async () => {
    const [near, far] = transportPair();
    new TtrpcServer()
      .addService(
        SealedSecretService,
        sealedSecretService(
          () => Promise.resolve(unsealer()),
          () => {},
        ),
      )
      .serve(far);
    const error = await new TtrpcClient(near)
      .call(SealedSecretService.methods.UnsealSecret, { secret: sealed({ ...VAULT, name: "kbs:///repo/type/none" }) })
      .catch((e: unknown) => e);
    expect((error as Error).message).toBe("[CDH] [ERROR]: Unseal Secret failed: there is none");
    expect(reasonOf(error, REASON_DOMAIN)).toBe("MISSING");
  });

  function payload(change: object): Buffer {
    const json = { ...(JSON.parse(formatSealedSecret(VAULT)) as object), ...change };
    return Buffer.from(signJws(Buffer.from(JSON.stringify(json)), KID, signer));
  }
});

function rawHeader(secret: string, json: string): string {
  const parts = secret.split(".");
  parts[1] = Buffer.from(json).toString("base64url");
  return parts.join(".");
}
const header = (secret: string, fields: object): string => rawHeader(secret, JSON.stringify(fields));
function swap(secret: string, from: string): string {
  const parts = secret.split(".");
  parts[2] = from.split(".")[2] ?? "";
  return parts.join(".");
}

describe("upstream's vectors", () => {
  // The envelope among them has words in place of base64.
  const own = {
    version: "0.1.0",
    type: "vault",
    name: "xxx",
    provider: "aliyun",
    provider_settings: {},
    annotations: {},
  };
  const texts = ["vault-1.json", "vault-2.json"].map((name) => {
    const file = vectors(`cdh/secret/${name}`);
    return file === undefined ? JSON.stringify(own) : readFileSync(file, "utf8");
  });
  it("are read and written as they are", () => {
    for (const text of texts) {
      expect(JSON.parse(formatSealedSecret(parseSealedSecret(Buffer.from(text))))).toEqual(JSON.parse(text));
    }
  });

  const key = vectors("cdh/secret/test-key.json");
  it("have a key that signs and verifies", async () => {
    const json = key === undefined ? JSON.stringify(signer.export({ format: "jwk" })) : readFileSync(key, "utf8");
    const secret = sealed(VAULT, KID, createPrivateKey({ key: JSON.parse(json) as never, format: "jwk" }));
    expect(await unseal(secret, { resources: { [KID]: json } })).toBe("from the vault");
  });
});

/** Of the recording; it is the one that verifies all its signatures. */
const RECORDED_KEY = JSON.stringify({
  kty: "EC",
  crv: "P-256",
  x: "5MYIiZJmNIZvD2ZuDT8-rqoLrFs6z2vRmW4urB6kIGc",
  y: "tPI4Tc85SgltA8W8wiLoXOZIswWyKd4yDH2gk93Jt9U",
});

const golden = vectors("golden/cdh.jsonl");
// Where it is absent, what is opened and what is not is above, with secrets of our own.
if (golden !== undefined) {
  it("what is opened and what is not is as in the recorded replies of upstream's hub", async () => {
    const rows = jsonLines<{ id: string; request?: { secret?: string }; reply?: { plaintext: string } }>(golden).filter(
      ({ request }) => request?.secret !== undefined,
    );
    expect(rows.length).toBeGreaterThan(20);
    for (const { id, request, reply } of rows) {
      if (id === "cdh/kbs-down-unseal") continue;
      const resources = { [KID]: RECORDED_KEY, "kbs:///repo/type/tag": "golden-secret" };
      const opened = await unseal(Buffer.from(request?.secret ?? "", "base64"), { resources }).catch(() => undefined);
      expect([id, opened]).toEqual([
        id,
        reply === undefined ? undefined : Buffer.from(reply.plaintext, "base64").toString(),
      ]);
    }
  });
}

describe("hostile bytes (seeded)", () => {
  let state = 0x1234567;
  const next = (below: number): number => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
  it("open nothing, and fail as a hub's error", async () => {
    const seeds = [sealed(), sealed(ENVELOPE)];
    for (let round = 0; round < 1500; round++) {
      const bytes = Buffer.from(seeds[next(2)] ?? "");
      const at = next(bytes.length);
      const before = bytes[at];
      bytes[at] = next(2) === 0 ? next(256) : (before ?? 0) ^ (1 << next(8));
      if (bytes[at] === before) continue;
      const result = await unseal(bytes).catch((error: unknown) => error);
      // A signature has more than one form of its last character, and the first word may be missing.
      if (typeof result === "string") throw new Error(`opened with byte ${at} changed`);
      expect(["HubError", "KbsProtocolError"]).toContain((result as Error).name);
    }
  });

  it("of payloads give a secret or a HubError", () => {
    for (let round = 0; round < 3000; round++) {
      const bytes = Buffer.from(formatSealedSecret(round % 2 === 0 ? VAULT : ENVELOPE));
      for (let changes = next(3); changes >= 0; changes--) bytes[next(bytes.length)] = next(256);
      try {
        parseSealedSecret(bytes);
      } catch (error) {
        expect(error).toBeInstanceOf(HubError);
      }
    }
  });
});
