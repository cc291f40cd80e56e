import { createHash, createHmac } from "node:crypto";

import { afterEach, beforeEach, describe, expect, it } from "vitest";

import type { KmsRequest } from "../../src/kms/http.ts";
import { encrypts, kmsClient } from "../../src/kms/clients.ts";
import { signV4 } from "../../src/kms/sigv4.ts";
import { bodyOf, FakeService, zeroed } from "./ports.ts";

const { signal } = new AbortController();
const SECRET_KEY = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

describe("Signature Version 4", () => {
  it.each([
    // Of the vendor's own suite: get-vanilla and post-vanilla.
    ["GET", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"],
    ["POST", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"],
  ])("of a %s is the published one", (method, signature) => {
    const signed = signV4(
      {
        method,
        host: "example.amazonaws.com",
        path: "/",
        headers: {},
        body: Buffer.alloc(0),
        service: "service",
        region: "us-east-1",
        now: new Date("2015-08-30T12:36:00Z"),
      },
      { accessKeyId: "AKIDEXAMPLE", secretAccessKey: Buffer.from(SECRET_KEY) },
    );
    expect(signed["authorization"]).toBe(
      `AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders=host;x-amz-date, Signature=${signature}`,
    );
  });
});

/** Computes the signature from what came, as the service does, and compares. */
function rightlySigned({ method, url, headers, body = Buffer.alloc(0) }: KmsRequest): boolean {
  const [, scope = "", names = "", signature] =
    /^AWS4-HMAC-SHA256 Credential=AKIA\/([^,]+), SignedHeaders=([^,]+), Signature=([0-9a-f]{64})$/u.exec(
      headers["authorization"] ?? "",
    ) ?? [];
  const hash = (data: Uint8Array | string): string => createHash("sha256").update(data).digest("hex");
  const canonical = `${method}\n${new URL(url).pathname}\n\n${names
    .split(";")
    .map((name) => `${name}:${headers[name]}\n`)
    .join("")}\n${names}\n${hash(body)}`;
  const text = `AWS4-HMAC-SHA256\n${headers["x-amz-date"]}\n${scope}\n${hash(canonical)}`;
  let key: Buffer | string = `AWS4${SECRET_KEY}`;
  for (const part of scope.split("/")) key = createHmac("sha256", key).update(part).digest();
  return createHmac("sha256", key).update(text).digest("hex") === signature && headers["host"] === new URL(url).host;
}

let service: FakeService;
beforeEach(() => {
  service = new FakeService();
  service.put("credential.json", { access_key_id: "AKIA", secret_access_key: SECRET_KEY, session_token: null });
});
afterEach(() => service[Symbol.dispose]());

const client = (settings: object = { region: "eu-north-1" }) => {
  const one = kmsClient("aws", settings as Record<string, unknown>, service.ports);
  if (one === undefined) throw new Error("no client");
  return one;
};
const base64 = (text: string): string => Buffer.from(text).toString("base64");

describe("AWS", () => {
  it("decrypts a key, with its context", async () => {
    service.answer = (request) =>
      rightlySigned(request)
        ? { status: 200, body: JSON.stringify({ KeyId: "k", Plaintext: base64("data key") }) }
        : { status: 400, body: '{"__type":"InvalidSignatureException"}' };
    const context = { encryption_context: { app: "a" } };
    expect((await client().decrypt(Buffer.from("c"), "alias/k", context, signal)).toString()).toBe("data key");
    expect(service.last.url).toBe("https://kms.eu-north-1.amazonaws.com/");
    expect(service.last.headers["x-amz-target"]).toBe("TrentService.Decrypt");
    expect(bodyOf(service.last)).toEqual({
      CiphertextBlob: base64("c"),
      KeyId: "alias/k",
      EncryptionContext: { app: "a" },
    });
    expect(service.replies.every(zeroed)).toBe(true);
    await client().decrypt(Buffer.from("c"), "k", { encryption_context: {} }, signal);
    expect(bodyOf(service.last)).toEqual({ CiphertextBlob: base64("c"), KeyId: "k" });
  });

  it("encrypts for who seals", async () => {
    service.answer = (request) => {
      expect(rightlySigned(request)).toBe(true);
      return { status: 200, body: JSON.stringify({ CiphertextBlob: base64("sealed") }) };
    };
    const kms = client();
    expect(encrypts(kms) && (await kms.encrypt(Buffer.from("plain"), "k", signal))).toEqual({
      ciphertext: Buffer.from("sealed"),
      annotations: {},
    });
    expect(bodyOf(service.last)).toEqual({ KeyId: "k", Plaintext: base64("plain") });
  });

  it("gets secrets, texts or bytes, with temporary keys too", async () => {
    service.put("credential.json", { access_key_id: "AKIA", secret_access_key: SECRET_KEY, session_token: "TOKEN" });
    service.answer = (request) => {
      expect(rightlySigned(request)).toBe(true);
      expect(request.headers["x-amz-security-token"]).toBe("TOKEN");
      return { status: 200, body: '{"ARN":"a","SecretString":"sé\\u00e9\\n\\ud83d\\ude00"}' };
    };
    expect((await client().secret("name", {}, signal)).toString()).toBe("séé\n😀");
    expect(service.last.url).toBe("https://secretsmanager.eu-north-1.amazonaws.com/");
    expect(bodyOf(service.last)).toEqual({ SecretId: "name" });
    service.answer = () => ({ status: 200, body: `{"SecretBinary":"${base64("bytes")}"}` });
    const version = { version_id: "v", version_stage: "AWSPREVIOUS" };
    expect((await client().secret("name", version, signal)).toString()).toBe("bytes");
    expect(bodyOf(service.last)).toEqual({ SecretId: "name", VersionId: "v", VersionStage: "AWSPREVIOUS" });
  });

  it.each([
    [400, '{"__type":"com.amazonaws#ResourceNotFoundException","Message":"SECRET"}', "missing"],
    [400, '{"__type":"AccessDeniedException"}', "denied"],
    [400, "no JSON", "denied"],
    [503, "", "unreachable"],
    [200, "{}", "malformed"],
    [200, '{"SecretBinary":"x"}', "malformed"],
  ])("a reply %s %s is: %s", async (status, body, code) => {
    service.answer = () => ({ status, body });
    const failed = client().secret("n", {}, signal);
    await expect(failed).rejects.toMatchObject({ name: "HubError", code });
    await expect(failed).rejects.not.toThrow("SECRET");
  });

  it.each([{}, { region: "evil.test/#" }, { region: "a@b" }, { region: 1 }])("refuses the settings %j", (settings) => {
    expect(() => client(settings)).toThrow("provider_settings.region: expected a plain name");
  });

  it("refuses annotations of another form, and says when it has no credential", async () => {
    for (const annotations of [{ encryption_context: [] }, { encryption_context: { a: 1 } }]) {
      await expect(client().decrypt(Buffer.alloc(0), "k", annotations, signal)).rejects.toThrow("encryption_context");
    }
    await expect(client().secret("n", { version_id: 1 }, signal)).rejects.toThrow("annotations.version_id");
    service.put("credential.json", "{}");
    await expect(client().secret("n", {}, signal)).rejects.toMatchObject({ code: "malformed" });
    const { ports } = service;
    const elsewhere = kmsClient("aws", { region: "x" }, { ...ports, env: { AWS_IN_GUEST_KEY_PATH: "/nonexistent" } });
    await expect(elsewhere?.secret("n", {}, signal)).rejects.toMatchObject({ code: "missing" });
  });
});
