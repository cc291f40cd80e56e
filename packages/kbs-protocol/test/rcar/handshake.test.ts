import { describe, expect, it } from "vitest";

import {
  attest,
  bearerSessions,
  cookieSessions,
  encryptReply,
  type EvidenceSource,
  formatAgentToken,
  formatKbsError,
  getResource,
  type KbsErrorVariant,
  type KbsHttp,
  KbsProtocolError,
  type KbsReply,
  type KbsRequest,
  parseAgentToken,
  parseAttestRequest,
  parseResourceUri,
  primaryRuntimeData,
  reportData,
  TEE_KEY_ALGORITHMS,
  TeeKey,
  type TeePublicKey,
  TokenCache,
} from "../../src/index.ts";

const clock = { now: 0, pauses: [] as number[] };
const ports = {
  monotonic: () => clock.now,
  sleep: (ms: number) => {
    clock.pauses.push(ms);
    return Promise.resolve();
  },
};

function jwt(claims: object): string {
  return ["{}", JSON.stringify(claims), "x"].map((part) => Buffer.from(part).toString("base64url")).join(".");
}

/** A broker that checks what it is sent, as the real one does. */
class Broker implements KbsHttp {
  readonly requests: KbsRequest[] = [];
  /** What is answered instead, by the number of the request. */
  readonly instead = new Map<number, KbsReply | Error>();
  handshakes = 0;
  #key: TeePublicKey | undefined;

  send(request: KbsRequest): Promise<KbsReply> {
    const number = this.requests.push(request);
    const instead = this.instead.get(number);
    if (instead instanceof Error) return Promise.reject(instead);
    return Promise.resolve(instead ?? this.#answer(request));
  }

  #answer({ url, body = "", headers }: KbsRequest): KbsReply {
    switch (url) {
      case "https://kbs/kbs/v0/auth":
        this.handshakes += 1;
        return {
          status: 200,
          cookies: [`kbs-session-id=s${this.handshakes}; Expires=Thu`, "lb=node1; Path=/"],
          body: '{"nonce":"bm9uY2U=","extra-params":""}',
        };
      case "https://kbs/kbs/v0/attest": {
        expect(headers["cookie"]).toBe(`kbs-session-id=s${this.handshakes}; lb=node1`);
        const request = parseAttestRequest(body);
        const { "runtime-data": runtime, "tee-evidence": evidence } = request;
        const digest = reportData(primaryRuntimeData(runtime, evidence.additional_evidence)).toString("hex");
        expect(evidence.primary_evidence).toEqual({ bound: digest });
        const device = reportData(runtime).toString("hex");
        expect(JSON.parse(evidence.additional_evidence)).toEqual({ sampledevice: { bound: device } });
        this.#key = runtime["tee-pubkey"];
        return { status: 200, cookies: [], body: JSON.stringify({ token: jwt({ iat: 100, exp: 400 }) }) };
      }
      case "https://kbs/kbs/v0/resource/a/b/c": {
        const session = `kbs-session-id=s${this.handshakes}; lb=node1`;
        if (headers["cookie"] !== session && headers["authorization"] === undefined) return refusal("TokenNotFound");
        if (this.#key === undefined) return refusal("TokenVerifierError");
        return { status: 200, cookies: [], body: encryptReply(Buffer.from("secret"), this.#key) };
      }
      default:
        return refusal("PluginNotFound");
    }
  }
}

function refusal(variant: KbsErrorVariant): KbsReply {
  return { ...formatKbsError(variant, "why"), cookies: [] };
}

const evidence: EvidenceSource = {
  tee: () => "sample",
  evidence: (data) => Promise.resolve(`{"bound":"${data.toString("hex")}"}`),
  additionalEvidence: (data) => Promise.resolve(new Map([["sampledevice", `{"bound":"${data.toString("hex")}"}`]])),
};
const away = (): KbsProtocolError => new KbsProtocolError("network", "away");
const URI = parseResourceUri("kbs:///a/b/c");

function options(http: KbsHttp) {
  clock.pauses = [];
  return { url: "https://kbs/", http, evidence, initdata: undefined, clock: ports };
}

describe("the handshake", () => {
  it.each(TEE_KEY_ALGORITHMS)("binds evidence to nonce and key: %s", async (algorithm) => {
    const broker = new Broker();
    const initdata = { format: "toml", body: 'a = "b"' };
    const { token } = await attest({ ...options(broker), algorithm, initdata });
    expect(token).toBe(jwt({ iat: 100, exp: 400 }));
    expect(parseAttestRequest(broker.requests[1]?.body ?? "")["init-data"]).toEqual(initdata);
    expect(broker.requests[0]).toMatchObject({
      headers: { "user-agent": "attestation-agent-kbs-client/0.1.0", "content-type": "application/json" },
    });
  });

  it("is tried again where the broker was away, with pauses that grow", async () => {
    const broker = new Broker();
    broker.instead.set(1, away()).set(2, { status: 503, cookies: [], body: "" }).set(4, away());
    await attest(options(broker));
    expect(clock.pauses).toEqual([250, 500, 1000]);
    expect(broker.handshakes).toBe(2);
  });

  it("is given up after five tries", async () => {
    const broker = new Broker();
    for (let number = 1; number < 9; number++) broker.instead.set(number, away());
    await expect(attest(options(broker))).rejects.toThrow("away");
    expect(broker.requests).toHaveLength(5);
  });

  it.each([
    [refusal("AttestationError"), "refused", "auth: the broker refused: 401 AttestationError"],
    [{ status: 404, cookies: [], body: "<html>" }, "not-found", "auth: not found: 404"],
    [{ status: 302, cookies: [], body: "" }, "peer", "auth: expected 200, 401 or 404, got 302"],
    [{ status: 500, cookies: [], body: "" }, "peer", "got 500"],
    [{ status: 200, cookies: [], body: '{"nonce":"x"}' }, "peer", "auth: expected the cookie kbs-session-id"],
    [{ status: 200, cookies: [], body: "garbage" }, "json", "challenge: expected JSON"],
    [{ status: 200, cookies: [], body: '{"nonce":"x","nonce":"x"}' }, "json", "challenge: expected each member once"],
    [new KbsProtocolError("too-long", "long"), "too-long", "long"],
  ])("is not tried again for %j", async (reply, code, message) => {
    const broker = new Broker();
    broker.instead.set(1, reply);
    await expect(attest(options(broker))).rejects.toMatchObject({
      code,
      message: expect.stringContaining(message) as string,
    });
    expect(broker.requests).toHaveLength(1);
  });

  it("stops with its signal", async () => {
    const broker = new Broker();
    const reason = new Error("enough");
    await expect(attest(options(broker), AbortSignal.abort(reason))).rejects.toBe(reason);
    expect(broker.requests).toEqual([]);
  });
});

describe("a resource by cookie", () => {
  it("takes one handshake, and later ones none", async () => {
    const broker = new Broker();
    const sessions = cookieSessions(options(broker), 1000);
    for (let round = 0; round < 3; round++) {
      expect((await getResource(URI, { ...options(broker), sessions })).toString()).toBe("secret");
    }
    expect(broker.handshakes).toBe(1);
  });

  it("makes a session anew that the broker has forgotten", async () => {
    const broker = new Broker();
    const sessions = cookieSessions(options(broker), 1000);
    broker.instead.set(3, refusal("TokenNotFound"));
    expect((await getResource(URI, { ...options(broker), sessions })).toString()).toBe("secret");
    expect(broker.handshakes).toBe(2);
  });

  it.each(["PolicyDeny", "PluginInternalError", "JweError"] as const)(
    "is not attested for again after %s",
    async (variant) => {
      const broker = new Broker();
      const sessions = cookieSessions(options(broker), 1000);
      broker.instead.set(3, refusal(variant));
      await expect(getResource(URI, { ...options(broker), sessions })).rejects.toMatchObject({
        code: "refused",
        variant,
      });
      expect(broker.handshakes).toBe(1);
    },
  );

  it("is not asked for endlessly", async () => {
    const broker = new Broker();
    const sessions = cookieSessions(options(broker), 1000);
    for (let number = 3; number < 20; number++) {
      if (number !== 4 && number !== 5) broker.instead.set(number, refusal("TokenVerifierError"));
    }
    await expect(getResource(URI, { ...options(broker), sessions })).rejects.toMatchObject({ code: "refused" });
    expect(broker.requests).toHaveLength(6);
  });

  it("may not be there", async () => {
    const broker = new Broker();
    const sessions = cookieSessions(options(broker), 1000);
    const uri = parseResourceUri("kbs+nosuch:///a");
    await expect(getResource(uri, { ...options(broker), sessions })).rejects.toMatchObject({
      code: "not-found",
      variant: "PluginNotFound",
    });
  });
});

describe("a resource by token", () => {
  it("is decrypted with the token's key", async () => {
    const broker = new Broker();
    const { token, key } = await attest(options(broker));
    const bytes = formatAgentToken({ token, key });
    expect(Object.keys(JSON.parse(bytes.toString()) as object)).toEqual(["token", "tee_keypair"]);
    const handed = parseAgentToken(Buffer.from(bytes));
    const sessions = bearerSessions(() => Promise.resolve(handed));
    expect((await getResource(URI, { ...options(broker), sessions })).toString()).toBe("secret");
    expect(broker.requests.at(-1)?.headers["authorization"]).toBe(`Bearer ${token}`);
  });
});

describe("the agent's token", () => {
  it("comes from upstream's agent, too", async () => {
    const key = await TeeKey.generate("RSA-OAEP-256");
    const json = JSON.stringify({ tee_keypair: key.toPem().toString(), token: "a.b.c" }, undefined, 1);
    const bytes = Buffer.from(json);
    const parsed = parseAgentToken(bytes);
    expect(parsed).toMatchObject({ token: "a.b.c", key: { publicKey: key.publicKey } });
    expect(bytes.every((byte) => byte === 0)).toBe(true);
  });

  it.each([["{}"], ['{"token":"x"}'], ['{"token":"x","tee_keypair":"y"}'], [String.raw`{"tee_keypair":"\u0041"}`]])(
    "is not %s",
    (text) => {
      expect(() => parseAgentToken(Buffer.from(text))).toThrow(KbsProtocolError);
    },
  );
});

describe("the cache of a token", () => {
  function cache(life: number | undefined) {
    const made: { token: string; done: (error?: Error) => void }[] = [];
    const errors: unknown[] = [];
    const tokens = new TokenCache<string>({
      load: () =>
        new Promise((resolve, reject) => {
          const token = jwt(life === undefined ? { n: made.length } : { n: made.length, iat: 50, exp: 50 + life });
          made.push({ token, done: (error) => (error === undefined ? resolve(token) : reject(error)) });
        }),
      tokenOf: (token) => token,
      clock: ports,
      onRefreshError: (error) => errors.push(error),
    });
    return { tokens, made, errors };
  }

  it("shares one handshake among many who ask", async () => {
    const { tokens, made } = cache(300);
    const asked = [tokens.get(), tokens.get(), tokens.get({ fresh: true })];
    made[0]?.done();
    expect(new Set(await Promise.all(asked)).size).toBe(1);
    expect(made).toHaveLength(1);
  });

  it("keeps it, makes it anew ahead of its end, and never hands out one that ran out", async () => {
    const { tokens, made, errors } = cache(300);
    clock.now = 0;
    const first = tokens.get();
    made[0]?.done();
    const token = await first;
    clock.now = 239_000;
    expect(await tokens.get()).toBe(token);
    expect(made).toHaveLength(1);
    clock.now = 241_000;
    expect(await tokens.get()).toBe(token);
    expect(made).toHaveLength(2);
    made[1]?.done(away());
    await Promise.resolve();
    await Promise.resolve();
    expect(await tokens.get()).toBe(token);
    expect(errors).toHaveLength(1);
    expect(made).toHaveLength(3);
    clock.now = 291_000;
    const next = tokens.get();
    made[2]?.done();
    expect(await next).toBe(made[2]?.token);
    clock.now = 0;
  });

  it("keeps none that does not say how long it lasts, and none after a failure", async () => {
    const { tokens, made } = cache(undefined);
    const first = tokens.get();
    made[0]?.done();
    await first;
    const second = tokens.get();
    made[1]?.done(away());
    await expect(second).rejects.toThrow("away");
    const third = tokens.get();
    made[2]?.done();
    expect(await third).toBe(made[2]?.token);
  });

  it("forgets what no longer tells the truth, also while it is made", async () => {
    const { tokens, made } = cache(300);
    const first = tokens.get();
    tokens.clear();
    made[0]?.done();
    await first;
    const second = tokens.get();
    made[1]?.done();
    expect(await second).toBe(made[1]?.token);
    expect(made).toHaveLength(2);
  });
});
