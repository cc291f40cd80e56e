import { createPrivateKey, createPublicKey, diffieHellman } from "node:crypto";

import { FlattenedEncrypt, flattenedDecrypt, importJWK } from "jose";
import { describe, expect, it } from "vitest";

import {
  concatKdf,
  encryptReply,
  importTeePublicKey,
  KbsProtocolError,
  parseFlattenedJwe,
  TEE_KEY_ALGORITHMS,
  TeeKey,
} from "../../src/index.ts";
import { generator } from "../random.ts";

const SECRET = Buffer.from("a resource\0\u00ff");

function changed(text: string, member: string, value: unknown): string {
  return JSON.stringify({ ...(JSON.parse(text) as object), [member]: value });
}

function withHeader(text: string, change: (header: Record<string, unknown>) => void): string {
  const jwe = JSON.parse(text) as Record<string, string>;
  const header = JSON.parse(Buffer.from(jwe["protected"] ?? "", "base64url").toString()) as Record<string, unknown>;
  change(header);
  return changed(text, "protected", Buffer.from(JSON.stringify(header)).toString("base64url"));
}

describe.each(TEE_KEY_ALGORITHMS)("a reply to %s", (algorithm) => {
  it("comes back", async () => {
    const key = await TeeKey.generate(algorithm);
    expect(key.decrypt(encryptReply(SECRET, key.publicKey))).toEqual(SECRET);
    expect(key.decrypt(encryptReply(Buffer.alloc(0), key.publicKey))).toEqual(Buffer.alloc(0));
  });

  it("is read by jose, and its replies are read", async () => {
    const key = await TeeKey.generate(algorithm);
    const pem = createPrivateKey(key.toPem());
    const { plaintext } = await flattenedDecrypt(
      JSON.parse(encryptReply(SECRET, key.publicKey)) as Parameters<typeof flattenedDecrypt>[0],
      pem,
    );
    expect(Buffer.from(plaintext)).toEqual(SECRET);
    const { alg } = key.publicKey;
    const theirs = await new FlattenedEncrypt(SECRET)
      .setProtectedHeader({ alg, enc: "A256GCM" })
      .setAdditionalAuthenticatedData(Buffer.from("more"))
      .encrypt(await importJWK(key.publicKey as Parameters<typeof importJWK>[0], alg));
    expect(key.decrypt(JSON.stringify(theirs))).toEqual(SECRET);
  });

  it("is for no other key", async () => {
    const [one, other] = [await TeeKey.generate(algorithm), await TeeKey.generate(algorithm)];
    expect(() => other.decrypt(encryptReply(SECRET, one.publicKey))).toThrow("encrypted reply: decryption failed");
  });

  it("survives PEM", async () => {
    const key = await TeeKey.generate(algorithm);
    const pem = key.toPem();
    const label = algorithm === "RSA-OAEP-256" ? "RSA PRIVATE KEY" : "PRIVATE KEY";
    const type = algorithm === "RSA-OAEP-256" ? "pkcs1" : "pkcs8";
    expect(pem.toString()).toBe(createPrivateKey(pem).export({ format: "pem", type }));
    expect(pem.toString()).toContain(`-----BEGIN ${label}-----\n`);
    expect(TeeKey.fromPem(pem).publicKey).toEqual(key.publicKey);
  });

  it("is refused with any byte changed", async () => {
    const key = await TeeKey.generate(algorithm);
    const text = encryptReply(SECRET, key.publicKey);
    const members = JSON.parse(text) as Record<string, string>;
    const random = generator(3);
    for (const [name, value] of Object.entries(members)) {
      for (let round = 0; round < (algorithm === "RSA-OAEP-256" ? 4 : 24); round++) {
        const bytes = Buffer.from(value, "base64url");
        const at = random(bytes.length);
        bytes.writeUInt8((bytes[at] ?? 0) ^ (1 << random(8)), at);
        const tampered = changed(text, name, bytes.toString("base64url"));
        expect(() => key.decrypt(tampered), `${name} ${at}`).toThrow(KbsProtocolError);
      }
    }
  });
});

describe("a reply", () => {
  it("has the header that upstream's guest writes again", async () => {
    const { publicKey } = await TeeKey.generate("ECDH-ES+A256KW-P521");
    const { protected: head } = parseFlattenedJwe(encryptReply(SECRET, publicKey));
    expect(Buffer.from(head, "base64url").toString()).toMatch(
      /^\{"alg":"ECDH-ES\+A256KW","enc":"A256GCM","epk":\{"crv":"P-521","kty":"EC","x":"[\w-]{88}","y":"[\w-]{88}"\}\}$/u,
    );
  });

  it("must be what the key is for", async () => {
    const ec = await TeeKey.generate();
    const p521 = await TeeKey.generate("ECDH-ES+A256KW-P521");
    const rsa = await TeeKey.generate("RSA-OAEP-256");
    expect(() => ec.decrypt(encryptReply(SECRET, rsa.publicKey))).toThrow("expected alg ECDH-ES+A256KW");
    expect(() => rsa.decrypt(encryptReply(SECRET, ec.publicKey))).toThrow("expected alg RSA-OAEP-256");
    expect(() => ec.decrypt(encryptReply(SECRET, p521.publicKey))).toThrow("expected epk to be a point of P-256");
    const text = encryptReply(SECRET, ec.publicKey);
    for (const [change, message] of [
      [(h: Record<string, unknown>) => (h["enc"] = "A128GCM"), "expected enc A256GCM"],
      [(h: Record<string, unknown>) => (h["alg"] = "RSA1_5"), "expected alg ECDH-ES+A256KW"],
      [(h: Record<string, unknown>) => (h["zip"] = "DEF"), "expected neither crit nor zip"],
      [(h: Record<string, unknown>) => (h["crit"] = ["b64"]), "expected neither crit nor zip"],
      [(h: Record<string, unknown>) => (h["epk"] = null), "expected epk to be a point"],
      [
        (h: Record<string, unknown>) => (h["epk"] = { ...(h["epk"] as object), y: "A".repeat(43) }),
        "expected epk to be a point",
      ],
    ] as const) {
      expect(() => ec.decrypt(withHeader(text, change))).toThrow(message);
    }
    expect(() => ec.decrypt(changed(text, "iv", "AAAA"))).toThrow("expected 12 bytes as iv, got 3");
    expect(() => ec.decrypt(changed(text, "tag", ""))).toThrow("expected 16 bytes as tag");
    expect(() => ec.decrypt(changed(text, "header", {}))).toThrow("expected no member header");
    expect(() => ec.decrypt(changed(text, "ciphertext", "a+b"))).toThrow("expected base64url");
    expect(() => ec.decrypt("[]")).toThrow("expected an object");
    expect(() => ec.decrypt("x".repeat(13 << 20))).toThrow("expected at most");
  });

  it("goes to no key that it cannot be encrypted to", async () => {
    const { publicKey } = await TeeKey.generate();
    if (publicKey.kty !== "EC") throw new Error("expected an EC key");
    for (const key of [
      { ...publicKey, crv: "P-384" },
      { ...publicKey, crv: "P-521" },
      { ...publicKey, alg: "ECDH-ES" },
      { ...publicKey, y: publicKey.x },
      { ...publicKey, x: publicKey.x.slice(4) },
      { kty: "RSA", alg: "RSA1_5", n: "AQAB", e: "AQAB" } as const,
      { kty: "RSA", alg: "RSA-OAEP-256", n: "AQAB", e: "AQAB" } as const,
      { kty: "AKP", alg: "ML-KEM-768+A192KW", pub: "" } as const,
    ]) {
      expect(() => importTeePublicKey(key), JSON.stringify(key)).toThrow(KbsProtocolError);
      expect(() => encryptReply(SECRET, key)).toThrow(KbsProtocolError);
    }
  });
});

describe("the key derivation", () => {
  // RFC 7518, appendix C.
  const alice = {
    kty: "EC",
    crv: "P-256",
    x: "gI0GAILBdu7T53akrFmMyGcsF3n5dO7MmwNBHKW5SV0",
    y: "SLW_xSffzlPWrHEVI30DHM_4egVwt3NQqeUD7nMFpps",
    d: "0_NxaRPUMQoAJt50Gz8YiTr8gRTwyEaCumd-MToTmIo",
  };
  const bob = {
    kty: "EC",
    crv: "P-256",
    x: "weNJy2HscCSM6AEDTDg04biOvhFhyyWvOHQfeF_PxMQ",
    y: "e8lnCO-AlStT-NJVX-crhB7QRYhiix03illJOVAOyck",
  };

  it("gives the RFC's key", () => {
    const secret = diffieHellman({
      privateKey: createPrivateKey({ key: alice, format: "jwk" }),
      publicKey: createPublicKey({ key: bob, format: "jwk" }),
    });
    const key = concatKdf(secret, "A128GCM", 128, { apu: Buffer.from("Alice"), apv: Buffer.from("Bob") });
    expect(key.toString("base64url")).toBe("VqqN6vgjbSBcIijNcacQGg");
  });
});
