import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import { MemoryStorage } from "../../src/storage/memory.ts";
import { Namespace } from "../../src/storage/storage.ts";
import { attest, type AttestBody, begin, sampleGuest } from "./sample-guest.ts";
import { signJwt, testTrustee, type TestTrustee } from "./test-trustee.ts";

let now = Date.parse("2026-11-25T00:00:00Z");
let storage: MemoryStorage;
let broker: TestTrustee;
beforeEach(async () => {
  now = Date.now();
  storage = new MemoryStorage();
  broker = await testTrustee({ now: () => now }, storage);
  const policy = Buffer.from("package policy\nallow := true\n").toString("base64url");
  const headers = { authorization: broker.admin() };
  await broker.call("POST", "/kbs/v0/resource-policy", headers, JSON.stringify({ policy }));
  await broker.call("POST", "/kbs/v0/resource/a/b/c", headers, "the secret");
});
afterEach(async () => {
  vi.restoreAllMocks();
  await broker.trustee.close();
});

const read = (headers: Record<string, string>): Promise<{ readonly status: number; readonly body: string }> =>
  broker.call("GET", "/kbs/v0/resource/a/b/c", headers);

it("a whole handshake ends with the resource", async () => {
  const { answer, cookie } = await attest(broker);
  expect([answer.status, (await read({ cookie })).status]).toEqual([200, 200]);
});

describe("a nonce", () => {
  it("of another session, or of one that is over, is refused", async () => {
    const guest = sampleGuest();
    const [mine, other] = [await begin(broker), await begin(broker)];
    const send = (cookie: string, nonce: string) =>
      broker.call("POST", "/kbs/v0/attest", { cookie }, guest.attestation(nonce));
    expect((await send(mine.cookie, other.nonce)).status).toBe(401);
    // The session is as it was.
    expect((await send(mine.cookie, mine.nonce)).status).toBe(200);
    expect((await send(other.cookie, mine.nonce)).status).toBe(401);
    now += 5 * 60_000 + 1;
    expect((await send(other.cookie, other.nonce)).status).toBe(401);
    expect(await storage.list(Namespace.SESSION)).not.toContain(other.cookie.split("=")[1]);
  });
});

describe("evidence", () => {
  const stranger = sampleGuest();
  it.each<readonly [string, (body: AttestBody) => void]>([
    ["that is not bound to the key", (body) => (body["runtime-data"]["tee-pubkey"] = stranger.publicKey)],
    ["that is bound to no key", (body) => delete body["runtime-data"]["tee-pubkey"]],
    ["beside devices that it does not name", (body) => (body["tee-evidence"]["additional_evidence"] = "{}")],
    [
      "of a device of no known kind",
      (body) => (body["tee-evidence"]["additional_evidence"] = JSON.stringify({ abacus: {} })),
    ],
    ["that is none", (body) => (body["tee-evidence"]["primary_evidence"] = null)],
  ])("%s is refused, and gives no token", async (_, change) => {
    const { answer, cookie } = await attest(broker, sampleGuest(), change);
    expect(answer.status).toBe(401);
    expect(answer.body).toContain("/AttestationError");
    expect((await read({ cookie })).body).toContain("/TokenNotFound");
  });
});

describe("JSON", () => {
  const deep = (depth: number): string => `${"[".repeat(depth)}${"]".repeat(depth)}`;
  it.each([
    ["that is too deep", (body: string) => body.replace('"svn":"1"', `"svn":"1","more":${deep(100_000)}`)],
    ["with a member twice", (body: string) => body.replace('"svn":"1"', '"svn":"1","svn":"1"')],
    [
      "with a member twice by an escape",
      (body: string) => body.replace('"svn":"1"', String.raw`"svn":"1","\u0073vn":"1"`),
    ],
    ["that is cut off", (body: string) => body.slice(0, -1)],
    ["that goes on", (body: string) => `${body}{}`],
    ["that is no UTF-8", (body: string) => Buffer.concat([Buffer.from(body.slice(0, -1)), Buffer.from([0xff, 0x7d])])],
  ])("%s is refused in evidence", async (_, change) => {
    const { cookie, nonce } = await begin(broker);
    const body = change(sampleGuest().attestation(nonce));
    expect((await broker.call("POST", "/kbs/v0/attest", { cookie }, body)).status).toBe(401);
  });

  it.each([deep(100_000), '{"version":"0.4.0","version":"0.4.0","tee":"sample","extra-params":""}', ""])(
    "%.40s is refused as a request",
    async (body) => {
      expect((await broker.call("POST", "/kbs/v0/auth", {}, body)).status).toBe(401);
      const headers = { authorization: broker.admin() };
      for (const path of ["resource-policy", "attestation-policy", "reference-value"])
        expect((await broker.call("POST", `/kbs/v0/${path}`, headers, body)).status).toBe(401);
    },
  );
});

describe("bodies over the limit", () => {
  const large = Buffer.alloc(2 * 1024 * 1024 + 1, 0x20);
  it.each(["auth", "attest", "resource/a/b/c", "resource-policy", "reference-value"])(
    "are not taken by %s",
    async (path) => {
      const answer = await broker.call("POST", `/kbs/v0/${path}`, { authorization: broker.admin() }, large);
      expect(answer.status).toBe(413);
      expect(String(await storage.get(Namespace.REPOSITORY, "a/b/c"))).toBe("the secret");
    },
  );
});

describe("a token", () => {
  it("with `alg: none`, or of a key that nobody trusts, is refused", async () => {
    const own = await testTrustee({
      tokens: { certificates: [], jwks: [], insecureHeaderJwk: false, extraKeyPaths: [] },
    });
    const { privateKey, publicKey } = sampleGuest();
    const claims = { exp: Math.floor(Date.now() / 1000) + 300, "tee-pubkey": publicKey };
    const none = `${signJwt({ alg: "none", typ: "JWT" }, claims, privateKey).split(".").slice(0, 2).join(".")}.`;
    const foreign = signJwt({ alg: "ES256", typ: "JWT", jwk: { ...publicKey, alg: "ES256" } }, claims, privateKey);
    try {
      for (const token of [none, foreign]) {
        const answer = await own.call("GET", "/kbs/v0/resource/a/b/c", { authorization: `Bearer ${token}` });
        expect([answer.status, answer.body]).toEqual([401, expect.stringContaining("/TokenVerifierError")]);
      }
    } finally {
      await own.trustee.close();
    }
  });
});

describe("somebody else's cookie", () => {
  it("gives what is encrypted to that guest's key, and does not bind evidence", async () => {
    const victim = await attest(broker);
    const thief = sampleGuest();
    const { nonce } = await begin(broker);
    const again = await broker.call("POST", "/kbs/v0/attest", { cookie: victim.cookie }, thief.attestation(nonce));
    // The session has its token; the thief's key is nowhere in it.
    expect(again.status).toBe(200);
    expect(again.body).toBe(victim.answer.body);
    const [, claims = ""] = (JSON.parse(again.body) as { token: string }).token.split(".");
    expect(Buffer.from(claims, "base64url").toString()).not.toContain(String(thief.publicKey["x"]));
  });

  it("that was not given, or is no longer, is nothing", async () => {
    for (const cookie of [`kbs-session-id=${"0".repeat(32)}`, "kbs-session-id=../x", "kbs-session-id="])
      expect((await read({ cookie })).body).toContain("/TokenNotFound");
    const { cookie } = await attest(broker);
    now += 5 * 60_000 + 1;
    expect((await read({ cookie })).body).toContain("/TokenNotFound");
    expect(await storage.list(Namespace.SESSION)).toEqual([]);
  });
});

describe("storage that fails in the middle of a write", () => {
  const disk = new Error("disk");

  it("gives out no session, and takes the next", async () => {
    vi.spyOn(storage, "set").mockRejectedValueOnce(disk);
    await expect(begin(broker)).rejects.toThrow("401");
    expect((await attest(broker)).answer.status).toBe(200);
  });

  it("gives out no token that the session does not have; the guest may try again", async () => {
    const guest = sampleGuest();
    const { cookie, nonce } = await begin(broker);
    vi.spyOn(storage, "set").mockRejectedValueOnce(disk);
    const failed = await broker.call("POST", "/kbs/v0/attest", { cookie }, guest.attestation(nonce));
    expect(failed.status).toBe(401);
    expect(failed.body).not.toMatch(/token"|disk/u);
    expect((await read({ cookie })).body).toContain("/TokenNotFound");
    expect((await broker.call("POST", "/kbs/v0/attest", { cookie }, guest.attestation(nonce))).status).toBe(200);
    expect((await read({ cookie })).status).toBe(200);
  });

  it("keeps the resource, the policy and the reference value that were there, and says that it failed", async () => {
    const headers = { authorization: broker.admin() };
    const payload = Buffer.from(JSON.stringify({ x: 1 })).toString("base64");
    const writes = [
      ["resource/a/b/c", "another secret"],
      [
        "resource-policy",
        JSON.stringify({ policy: Buffer.from("package policy\nallow := false\n").toString("base64url") }),
      ],
      ["reference-value", JSON.stringify({ version: "0.1.0", type: "sample", payload })],
    ] as const;
    for (const [path, body] of writes) {
      vi.spyOn(storage, "set").mockRejectedValueOnce(disk);
      const answer = await broker.call("POST", `/kbs/v0/${path}`, headers, body);
      expect(answer.status).toBe(401);
      expect(answer.body).not.toContain("disk");
      expect(broker.audit.at(-1)).toMatchObject({ event: "admin", outcome: "refused", endpoint: path });
    }
    const { cookie } = await attest(broker);
    expect((await read({ cookie })).status).toBe(200);
    expect(String(await storage.get(Namespace.REPOSITORY, "a/b/c"))).toBe("the secret");
    expect((await broker.call("GET", "/kbs/v0/reference-value/x", headers)).status).toBe(401);
  });

  it("gives out no resource when it cannot be read, and says why only in the log", async () => {
    const { cookie } = await attest(broker);
    vi.spyOn(storage, "get").mockRejectedValue(disk);
    const answer = await read({ cookie });
    expect(answer.status).toBe(401);
    expect(answer.body).not.toContain("disk");
    expect(broker.log.at(-1)).toContain("disk");
    vi.restoreAllMocks();
    expect((await read({ cookie })).status).toBe(200);
  });
});

it.each(["x%0Aall is well", "x%1B[2J", "x%C2%9B31m", "x%E2%80%A8y", "x%E2%80%AEy"])(
  "a request of %s writes one line that steers nothing to the log",
  async (name) => {
    await broker.call("GET", `/kbs/v0/${name.replaceAll(" ", "%20")}`);
    expect(broker.log.at(-1)).toMatch(/^GET x[^:\p{Cc}\p{Cf}\u2028]*: Plugin x[^\p{Cc}\p{Cf}\u2028]* not found$/u);
  },
);

describe("the audit log", () => {
  it("says who got what, under which policy, on what evidence", async () => {
    const { cookie } = await attest(broker);
    await read({ cookie });
    const [attested, got] = broker.audit.slice(-2);
    expect(attested).toMatchObject({
      event: "attest",
      outcome: "allowed",
      session: cookie.split("=")[1],
      tee: "sample",
      findings: [
        {
          submodule: "cpu0",
          tee: "sample",
          status: "contraindicated",
          policy: "default_cpu",
          policyDigest: expect.stringMatching(/^[0-9a-f]{64}$/u) as string,
          referenceValues: expect.objectContaining({ launch_digest: null }) as object,
        },
      ],
      evidence: expect.stringMatching(/^[0-9a-f]{64}$/u) as string,
    });
    expect(got).toMatchObject({
      event: "resource",
      outcome: "allowed",
      path: "a/b/c",
      token: attested?.["token"],
      session: cookie.split("=")[1],
      policy: expect.stringMatching(/^[0-9a-f]{64}$/u) as string,
      status: { cpu0: "contraindicated" },
    });
    expect(JSON.stringify(broker.audit)).not.toMatch(/the secret|eyJ/u);
  });
});
