import { createHash, createHmac, createPublicKey, type KeyObject, verify } from "node:crypto";
import { join } from "node:path";

import forge from "node-forge";
import { afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";

import { encrypts, kmsClient } from "../../src/kms/clients.ts";
import type { KmsRequest } from "../../src/kms/http.ts";
import type { Kms } from "../../src/kms/kms.ts";
import { encodeFields, fieldOf } from "../../src/kms/protobuf.ts";
import { FakeService, NOW, zeroed } from "./ports.ts";

const { signal } = new AbortController();
const PASSWORD = "a password";

let pkcs12 = "";
let publicKey: KeyObject;
beforeAll(() => {
  const pair = forge.pki.rsa.generateKeyPair(2048);
  const certificate = forge.pki.createCertificate();
  certificate.publicKey = pair.publicKey;
  certificate.serialNumber = "01";
  certificate.sign(pair.privateKey);
  const asn1 = forge.pkcs12.toPkcs12Asn1(pair.privateKey, [certificate], PASSWORD, { algorithm: "3des" });
  pkcs12 = forge.util.encode64(forge.asn1.toDer(asn1).getBytes());
  publicKey = createPublicKey(forge.pki.publicKeyToPem(pair.publicKey));
});

let service: FakeService;
beforeEach(() => {
  service = new FakeService();
  service.put("clientKey_KAAP.1.json", { KeyId: "KAAP.1", PrivateKeyData: pkcs12 });
  service.put("password_KAAP.1.json", { ClientKeyPassword: PASSWORD });
  service.put("PrivateKmsCA_kst-1.pem", "PEM of the instance");
  service.put("ecsRamRole.json", { ecs_ram_role_name: "Role", region_id: "cn-beijing" });
  service.put("token", "AK:SK:STS\n");
});
afterEach(() => service[Symbol.dispose]());

function client(settings: Record<string, unknown>): Kms {
  const one = kmsClient("aliyun", settings, service.ports);
  if (one === undefined) throw new Error("no client");
  return one;
}
const INSTANCE = { client_type: "client_key", kms_instance_id: "kst-1", client_key_id: "KAAP.1" };

/** As the instance verifies it. */
function signedByClientKey({ method, headers, body = Buffer.alloc(0) }: KmsRequest): boolean {
  const digest = createHash("sha256").update(body).digest("hex").toUpperCase();
  const own = Object.keys(headers).filter((name) => name.startsWith("x-kms-"));
  const canonical = own.toSorted().map((name) => `${name}:${headers[name]}\n`);
  const text = `${method}\n${headers["content-sha256"]}\n${headers["content-type"]}\n${headers["date"]}\n${canonical.join("")}/`;
  const signature = Buffer.from(headers["authorization"]?.replace("Bearer ", "") ?? "", "base64");
  return digest === headers["content-sha256"] && verify("sha256", Buffer.from(text), publicKey, signature);
}

describe("an instance of Aliyun's", () => {
  it("decrypts a key for a request that the client key signed", async () => {
    service.answer = (request) =>
      signedByClientKey(request)
        ? {
            status: 200,
            body: encodeFields([
              [1, "key"],
              [2, "data key"],
              [3, "id"],
            ]),
          }
        : { status: 403, body: encodeFields([[2, "Forbidden.NoPermission"]]) };
    const annotations = { iv: Buffer.from("nonce").toString("base64") };
    expect((await client(INSTANCE).decrypt(Buffer.from("c"), "key", annotations, signal)).toString()).toBe("data key");
    const { url, headers, body, roots } = service.last;
    expect([url, roots]).toEqual(["https://kst-1.cryptoservice.kms.aliyuncs.com/", ["PEM of the instance"]]);
    expect(headers).toMatchObject({
      "x-kms-apiname": "Decrypt",
      "x-kms-apiversion": "dkms-gcs-0.2",
      "x-kms-signaturemethod": "RSA_PKCS1_SHA_256",
      "x-kms-acccesskeyid": "KAAP.1",
      date: NOW.toUTCString(),
    });
    const sent = Buffer.from(body ?? []);
    expect([1, 2, 3, 5].map((field) => fieldOf(sent, field)?.toString())).toEqual(["c", "key", "AES_GCM", "nonce"]);
    expect(service.replies.every(zeroed)).toBe(true);
  });

  it("encrypts for who seals", async () => {
    service.answer = (request) => {
      expect(signedByClientKey(request)).toBe(true);
      const reply: [number, string][] = [
        [1, "key"],
        [2, "sealed"],
        [3, "nonce"],
      ];
      return { status: 200, body: encodeFields(reply) };
    };
    const kms = client(INSTANCE);
    expect(encrypts(kms) && (await kms.encrypt(Buffer.from("plain"), "key", signal))).toEqual({
      ciphertext: Buffer.from("sealed"),
      annotations: { iv: Buffer.from("nonce").toString("base64") },
    });
    expect(encrypts(client({ client_type: "ecs_ram_role" }))).toBe(false);
  });

  it("has secrets", async () => {
    service.answer = (request) => {
      expect(signedByClientKey(request)).toBe(true);
      return {
        status: 200,
        body: encodeFields([
          [1, "name"],
          [3, "the secret"],
        ]),
      };
    };
    const version = { version_id: "v1", version_stage: "ACSPrevious" };
    expect((await client(INSTANCE).secret("name", version, signal)).toString()).toBe("the secret");
    expect(Buffer.from(service.last.body ?? []).toString("hex")).toBe(
      Buffer.concat([Buffer.from("\n\u0004name\u0012\u000bACSPrevious\u001a\u0002v1"), Buffer.of(0x20, 1)]).toString(
        "hex",
      ),
    );
  });

  it.each([
    [404, encodeFields([[2, "Forbidden.ResourceNotFound"]]), "missing"],
    [
      403,
      encodeFields([
        [2, "Forbidden"],
        [3, "SECRET"],
      ]),
      "denied",
    ],
    [500, Buffer.from("nothing"), "unreachable"],
    [200, Buffer.alloc(0), "malformed"],
    [200, Buffer.of(0x1a, 0xff, 0xff), "malformed"],
  ])("answers %s %s: %s", async (status, body, code) => {
    service.answer = () => ({ status, body });
    await expect(client(INSTANCE).secret("n", {}, signal)).rejects.toMatchObject({ name: "HubError", code });
    await expect(client(INSTANCE).secret("n", {}, signal)).rejects.not.toThrow("SECRET");
  });

  it("refuses what is no client key, or a wrong password for it, and says nothing of either", async () => {
    service.put("password_KAAP.1.json", { ClientKeyPassword: "another" });
    await expect(client(INSTANCE).secret("n", {}, signal)).rejects.toThrow("client key: expected PKCS#12 with a key");
    service.put("clientKey_KAAP.1.json", { KeyId: "KAAP.1", PrivateKeyData: "AAAA" });
    await expect(client(INSTANCE).secret("n", {}, signal)).rejects.toThrow("client key: expected PKCS#12 with a key");
    expect(service.requests).toEqual([]);
  });

  it.each([
    [{ ...INSTANCE, kms_instance_id: "evil.test/x" }, "kms_instance_id"],
    [{ ...INSTANCE, client_key_id: "../../etc/x" }, "client_key_id"],
    [{ client_type: "zz" }, "client_type: expected client_key, ecs_ram_role or sts_token"],
    [{ client_type: "sts_token", region_id: "x", token_path: "/etc/passwd" }, "credential: expected a path below"],
    [{ client_type: "sts_token", region_id: "a/b", token_path: "/x" }, "region_id"],
  ])("refuses the settings %j", (settings, why) => {
    expect(() => client(settings)).toThrow(why);
  });

  it("needs the IV of what it decrypts", async () => {
    await expect(client(INSTANCE).decrypt(Buffer.alloc(1), "k", {}, signal)).rejects.toThrow("annotations.iv");
  });
});

/** As the service verifies it: the parameters that came, without the signature. */
function signedByToken({ url, method }: KmsRequest, secret: string): boolean {
  const query = new URL(url).searchParams;
  const encode = (text: string): string =>
    encodeURIComponent(text).replaceAll(/[!'()*]/gu, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`);
  const names = [...query.keys()].filter((name) => name !== "Signature").toSorted();
  const canonical = names.map((name) => `${encode(name)}=${encode(query.get(name) ?? "")}`).join("&");
  const text = `${method}&%2F&${encode(canonical)}`;
  return createHmac("sha1", `${secret}&`).update(text).digest("base64") === query.get("Signature");
}

describe("an account of Aliyun's", () => {
  it("has secrets for temporary keys of a file", async () => {
    const settings = { client_type: "sts_token", region_id: "cn-hangzhou", token_path: join(service.folder, "token") };
    service.answer = (request) => {
      expect(signedByToken(request, "SK")).toBe(true);
      return { status: 200, body: '{"SecretName":"n","SecretData":"the secret"}' };
    };
    expect((await client(settings).secret("a name*", {}, signal)).toString()).toBe("the secret");
    const url = new URL(service.last.url);
    expect(url.host).toBe("kms.cn-hangzhou.aliyuncs.com");
    expect(Object.fromEntries(url.searchParams)).toMatchObject({
      Action: "GetSecretValue",
      SecretName: "a name*",
      AccessKeyId: "AK",
      SecurityToken: "STS",
      Version: "2016-01-20",
      Timestamp: "2026-11-25T12:34:56Z",
    });
    expect(service.replies.every(zeroed)).toBe(true);
    service.put("token", "AK:SK");
    await expect(client(settings).secret("n", {}, signal)).rejects.toThrow("expected ID:SECRET:TOKEN");
    await expect(client(settings).decrypt(Buffer.alloc(0), "k", {}, signal)).rejects.toThrow(
      "only a client key decrypts",
    );
  });

  it("has them for the role of the machine", async () => {
    service.answer = (request) =>
      request.url.startsWith("http://100.100.100.200/")
        ? { status: 200, body: '{"AccessKeyId":"AK","AccessKeySecret":"RS","SecurityToken":"T"}' }
        : { status: 200, body: JSON.stringify({ SecretData: signedByToken(request, "RS") ? "secret" : "unsigned" }) };
    expect((await client({ client_type: "ecs_ram_role" }).secret("n", {}, signal)).toString()).toBe("secret");
    expect(service.requests.map(({ url }) => url.split("?")[0])).toEqual([
      "http://100.100.100.200/latest/meta-data/ram/security-credentials/Role",
      "https://kms.cn-beijing.aliyuncs.com/",
    ]);
    service.answer = () => ({ status: 404, body: "" });
    await expect(client({ client_type: "ecs_ram_role" }).secret("n", {}, signal)).rejects.toMatchObject({
      code: "denied",
    });
  });

  it.each([
    [404, '{"Code":"Forbidden.ResourceNotFound","Message":"SECRET"}', "missing"],
    [403, '{"Code":"SignatureDoesNotMatch"}', "denied"],
    [500, "", "unreachable"],
    [200, "{}", "malformed"],
  ])("answers %s %s: %s", async (status, body, code) => {
    const settings = { client_type: "sts_token", region_id: "x", token_path: join(service.folder, "token") };
    service.answer = () => ({ status, body });
    await expect(client(settings).secret("n", {}, signal)).rejects.toMatchObject({ name: "HubError", code });
  });
});
