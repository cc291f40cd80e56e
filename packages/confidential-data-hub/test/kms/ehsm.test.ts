import { createHmac } from "node:crypto";

import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { encrypts, kmsClient } from "../../src/kms/clients.ts";
import type { KmsRequest } from "../../src/kms/http.ts";
import { bodyOf, FakeService, NOW, zeroed } from "./ports.ts";

const { signal } = new AbortController();
const SETTINGS = { app_id: "86f0e9fe", endpoint: "https://ehsm.test:9000/" };

let service: FakeService;
beforeEach(() => {
  service = new FakeService();
  service.put("credential_86f0e9fe.json", { AppId: "86f0e9fe", ApiKey: "the key" });
});
afterEach(() => service[Symbol.dispose]());

const client = (settings: Record<string, unknown> = SETTINGS) => {
  const one = kmsClient("ehsm", settings, service.ports);
  if (one === undefined) throw new Error("no client");
  return one;
};

interface Body {
  readonly appid: string;
  readonly nonce: string;
  readonly payload: { readonly ciphertext: string; readonly keyid: string };
  readonly timestamp: string;
  readonly sign: string;
}

/** As the service verifies it. */
function rightlySigned(request: KmsRequest): boolean {
  const { appid, nonce, payload, timestamp, sign } = bodyOf(request) as Body;
  const text = `appid=${appid}&nonce=${nonce}&payload=ciphertext=${payload.ciphertext}&keyid=${payload.keyid}&timestamp=${timestamp}`;
  return createHmac("sha256", "the key").update(text).digest("base64") === sign;
}

describe("eHSM", () => {
  it("decrypts a key for a signed request", async () => {
    service.answer = (request) =>
      rightlySigned(request)
        ? { status: 200, body: `{"code":200,"result":{"plaintext":"${Buffer.from("data key").toString("base64")}"}}` }
        : { status: 200, body: '{"code":400,"message":"sign error"}' };
    expect((await client().decrypt(Buffer.from("Y2lwaGVy"), "k", {}, signal)).toString()).toBe("data key");
    expect(service.last).toMatchObject({
      method: "POST",
      url: "https://ehsm.test:9000/ehsm?Action=Decrypt",
      roots: [],
    });
    expect(bodyOf(service.last)).toMatchObject({ appid: "86f0e9fe", timestamp: String(NOW.getTime()) });
    expect(service.replies.every(zeroed)).toBe(true);
  });

  it("encrypts for who seals", async () => {
    service.answer = (request) => {
      const { payload, ...rest } = bodyOf(request) as { payload: Record<string, string>; sign: string };
      expect([payload, Object.keys(rest).sort()]).toEqual([
        { keyid: "k", plaintext: "cGxhaW4=" },
        ["appid", "nonce", "sign", "timestamp"],
      ]);
      return { status: 200, body: '{"code":200,"result":{"ciphertext":"c2VhbGVk"}}' };
    };
    const kms = client();
    const sealed = encrypts(kms) && (await kms.encrypt(Buffer.from("plain"), "k", signal));
    expect(sealed).toEqual({ ciphertext: Buffer.from("c2VhbGVk"), annotations: {} });
    expect(service.last.url).toContain("?Action=Encrypt");
  });

  it("trusts a certificate that lies beside the credential", async () => {
    service.put("ca_86f0e9fe.pem", "PEM");
    service.answer = () => ({ status: 200, body: '{"result":{"plaintext":"eA=="}}' });
    await client().decrypt(Buffer.from("eA=="), "k", {}, signal);
    expect(service.last.roots).toEqual(["PEM"]);
  });

  it("says what a refusal is, and has no secrets", async () => {
    service.answer = () => ({ status: 200, body: '{"code":406,"message":"no such key"}' });
    await expect(client().decrypt(Buffer.from("eA=="), "k", {}, signal)).rejects.toMatchObject({ code: "denied" });
    service.answer = () => ({ status: 502, body: "" });
    await expect(client().decrypt(Buffer.from("eA=="), "k", {}, signal)).rejects.toMatchObject({ code: "unreachable" });
    await expect(client().secret("n", {}, signal)).rejects.toThrow("it has no secrets by name");
  });

  it.each([
    [{ ...SETTINGS, app_id: "../x" }, "app_id"],
    [{ ...SETTINGS, endpoint: "http://ehsm.test:9000" }, "endpoint: expected https"],
    [{ ...SETTINGS, endpoint: "ehsm" }, "endpoint: expected https"],
    [{ app_id: "x" }, "endpoint: expected https"],
  ])("refuses the settings %j", (settings, why) => {
    expect(() => client(settings)).toThrow(why);
  });
});
