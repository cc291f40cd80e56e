import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { encryptReply, type KbsHttp, type KbsRequest, parseAgentToken, parseAttestRequest } from "@nacre/kbs-protocol";
import { afterAll, describe, expect, it } from "vitest";

import { EventLog, parseConfig } from "../src/index.ts";
import { agent, attester, Registers } from "./fakes.ts";

const folder = mkdtempSync(join(tmpdir(), "nacre-aa-"));
afterAll(() => rmSync(folder, { recursive: true }));

/** A broker that hands out a token and remembers what it was sent. */
function broker(): KbsHttp & { readonly requests: KbsRequest[] } {
  const requests: KbsRequest[] = [];
  return {
    requests,
    send(request) {
      requests.push(request);
      if (request.url.endsWith("/auth")) {
        const body = '{"nonce":"bm9uY2U=","extra-params":""}';
        return Promise.resolve({ status: 200, cookies: ["kbs-session-id=1"], body });
      }
      const claims = Buffer.from(JSON.stringify({ iat: 0, exp: 300, n: requests.length })).toString("base64url");
      const body = request.url.endsWith("/attestation") ? "token" : JSON.stringify({ token: `x.${claims}.y` });
      return Promise.resolve({ status: 200, cookies: [], body });
    },
  };
}

const KBS = { token_configs: { kbs: { url: "http://kbs" }, coco_as: { url: "http://as/" } } };

describe("a token", () => {
  it("of the broker comes with its key, and is kept", async () => {
    const http = broker();
    const initdata = { format: "toml", body: "x" };
    const { agent: one } = agent({ config: parseConfig(KBS).config, http: () => Promise.resolve(http), initdata });
    const first = await one.token("kbs", false);
    const text = first.toString();
    expect((await one.token("kbs", false)).toString()).toBe(text);
    expect(http.requests).toHaveLength(2);
    const { key } = parseAgentToken(first);
    expect(parseAttestRequest(http.requests[1]?.body ?? "")).toMatchObject({
      "init-data": initdata,
      "runtime-data": { "tee-pubkey": key.publicKey },
    });
    expect(key.decrypt(encryptReply(Buffer.from("x"), key.publicKey)).toString()).toBe("x");
    expect((await one.token("kbs", true)).toString()).not.toBe(text);
    expect(http.requests).toHaveLength(4);
  });

  it("is made anew each time where the configuration says so", async () => {
    const http = broker();
    const tree = { token_configs: { kbs: { url: "http://kbs", cache_token: false } } };
    const { agent: one } = agent({ config: parseConfig(tree).config, http: () => Promise.resolve(http) });
    await one.token("kbs", false);
    await one.token("kbs", false);
    expect(http.requests).toHaveLength(4);
  });

  it("is forgotten when a register is extended", async () => {
    const http = broker();
    const registers = new Registers();
    const eventLog = await EventLog.open(registers, 17, { log: `${folder}/log`, writeAhead: `${folder}/wal` });
    const { config } = parseConfig({ ...KBS, eventlog_config: { enable_eventlog: true } });
    const { agent: one } = agent({
      config,
      http: () => Promise.resolve(http),
      attester: attester(registers),
      eventLog,
    });
    await one.token("kbs", false);
    expect(await one.extend({ domain: "d", operation: "o", content: "c" }, null)).toBe("OK");
    await one.token("kbs", false);
    expect(http.requests).toHaveLength(4);
    expect(registers.extends).toBe(1);
  });

  it("of the attestation service is what it answers", async () => {
    const http = broker();
    const { agent: one } = agent({ config: parseConfig(KBS).config, http: () => Promise.resolve(http) });
    expect((await one.token("coco_as", false)).toString()).toBe("token");
    expect(http.requests[0]).toMatchObject({ url: "http://as/attestation", method: "POST" });
    expect(JSON.parse(http.requests[0]?.body ?? "")).toEqual({
      verification_requests: [
        { tee: "sample", evidence: Buffer.from('{"report_data":"","svn":"1"}').toString("base64url") },
      ],
      policy_ids: [],
    });
  });

  it("needs a broker, and a kind that there is", async () => {
    const { agent: one } = agent();
    await expect(one.token("kbs", false)).rejects.toThrow("kbs token config not configured in config file");
    await expect(one.token("coco_as", false)).rejects.toThrow("coco_as token config not configured in config file");
    await expect(one.token("KBS", false)).rejects.toThrow("token type: expected kbs or coco_as");
  });
});

describe("a measurement", () => {
  const event = { domain: "d", operation: "o", content: "c" };

  it("is not made where the log is off, whatever the event", async () => {
    expect(await agent().agent.extend({ ...event, content: "a\nb" }, 5n)).toBe("NOT_ENABLED");
  });

  it("is not made where there are no registers", async () => {
    const { config } = parseConfig({ eventlog_config: { enable_eventlog: true } });
    expect(await agent({ config }).agent.extend(event, null)).toBe("NOT_SUPPORTED");
  });
});

describe("evidence of devices", () => {
  it("is nothing where there are none", async () => {
    expect(await agent().agent.additionalEvidence(Buffer.from("x"))).toHaveLength(0);
  });

  it("is by their names", async () => {
    const device = (tee: "nvidia" | "sampledevice") => ({
      tee,
      evidence: (data: Uint8Array) => Promise.resolve(`"${Buffer.from(data).toString()}"`),
    });
    const { agent: one } = agent({ devices: [device("sampledevice"), device("nvidia")] });
    expect((await one.additionalEvidence(Buffer.from("x"))).toString()).toBe('{"nvidia":"x","sampledevice":"x"}');
    expect(one.additionalTees()).toEqual(["sampledevice", "nvidia"]);
  });
});
