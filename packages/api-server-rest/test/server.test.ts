import { connect } from "node:net";

import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { Component, isLoopback, MAX_BODY, parseAaelEvent, parseOptions, Router } from "../src/index.ts";
import { AGENT, Harness, HUB } from "./components.ts";

describe("parseOptions", () => {
  it("has upstream's defaults and names", () => {
    expect(parseOptions([])).toEqual({
      version: false,
      host: "127.0.0.1",
      port: 8006,
      feature: "resource",
      hub: "unix:///run/confidential-containers/cdh.sock",
      agent: "unix:///run/confidential-containers/attestation-agent/attestation-agent.sock",
    });
    const args = ["-b", "[::1]:80", "--features=all", "-c", "unix:///c", "--aa_addr", "unix:///a"];
    expect(parseOptions(args)).toEqual({
      version: false,
      host: "::1",
      port: 80,
      feature: "all",
      hub: "unix:///c",
      agent: "unix:///a",
    });
  });

  it("looks at nothing else when the version is asked for", () => {
    expect(parseOptions(["--features", "${rest_api_features}", "--version"]).version).toBe(true);
  });

  it.each([
    [["-x"], 'unexpected argument "-x"'],
    [["-b"], "-b: expected a value"],
    [["-b", "8006"], "--bind: expected HOST:PORT"],
    [["-b", "127.0.0.1:65536"], "--bind: expected HOST:PORT"],
    [["--features", "some"], "--features: expected resource, attestation, all"],
    [["-a", "tcp://127.0.0.1:1"], "expected unix://SOCKET"],
    [["constructor", "x"], "unexpected argument"],
  ])("refuses %j", (args, message) => {
    expect(() => parseOptions(args)).toThrow(message);
  });
});

describe("isLoopback", () => {
  it.each([
    ["127.0.0.1", true],
    ["127.8.9.10", true],
    ["::1", true],
    ["::ffff:127.0.0.1", true],
    ["::ffff:10.0.0.1", false],
    ["10.127.0.1", false],
    ["fe80::1", false],
    [undefined, false],
  ])("of %s is %s", (address, is) => {
    expect(isLoopback(address)).toBe(is);
  });
});

describe("parseAaelEvent", () => {
  const event = { domain: "d", operation: "o", content: "c" };

  it("takes three texts, and what nobody knows", () => {
    expect(parseAaelEvent(Buffer.from(JSON.stringify({ ...event, more: 1 })))).toEqual(event);
  });

  it.each([
    ["null", "expected an object"],
    ['{"domain":"d","domain":"e"}', "event: expected"],
    ['{"__proto__":{"domain":"d"}}', "missing field `domain`"],
    ['{"domain":null}', "expected a string as domain"],
    ["[".repeat(10_000), "event: expected"],
    ["\u00ff", "event: expected"],
  ])("refuses %j", (text, message) => {
    expect(() => parseAaelEvent(Buffer.from(text, "latin1"))).toThrow(`Illegal AAEL eventry format: ${message}`);
  });
});

describe("the server", () => {
  let harness: Harness;
  beforeEach(async () => {
    harness = await Harness.start("all");
  });
  afterEach(() => harness[Symbol.asyncDispose]());

  it("offers no attestation where the feature is the resource alone", async () => {
    await using resources = await Harness.start("resource");
    expect(await resources.send("GET", "/aa/nosuch")).toMatchObject({
      status: 404,
      body: "Attestation Feature Not Enabled",
    });
    expect(await resources.send("GET", "/cdh/resource/repo/type/tag")).toMatchObject({ body: "golden-secret" });
    expect(await resources.send("GET", "/info")).toMatchObject({
      body: '{"version":"0.1.0","tee":"sample","feature":"resource"}',
    });
  });

  it("says which devices there are", async () => {
    await harness.agent({ ...AGENT, GetAdditionalTees: () => ({ additional_tees: ["nvidia"] }) });
    expect((await harness.send("GET", "/info")).body).toBe(
      '{"version":"0.1.0","tee":"sample","additional_tees":["nvidia"],"feature":"all"}',
    );
  });

  it.each([
    [0, '{"success":"true"}'],
    [1, '{"success":"false","message": "The platform does not support runtime measurement"}'],
    [7, '{"success":"false","message": "Unknown runtime measurement result"}'],
  ])("says what became of an event: %d", async (Result, body) => {
    const asked: object[] = [];
    await harness.agent({
      ...AGENT,
      ExtendRuntimeMeasurement: (request) => {
        asked.push(request);
        return { Result };
      },
    });
    const event = '{"domain":"d","operation":"o","content":"c"}';
    expect(await harness.send("POST", "/aa/aael", event)).toMatchObject({ status: 200, body });
    expect(asked).toEqual([{ Domain: "d", Operation: "o", Content: "c", RegisterIndex: null }]);
  });

  it("takes no event that is too long", async () => {
    const { status, body } = await harness.send("POST", "/aa/aael", `"${"x".repeat(MAX_BODY)}"`);
    expect([status, body]).toEqual([500, "Illegal AAEL eventry format: expected at most 65536 bytes"]);
  });

  it("keeps its connection to a component, and finds one that came back", async () => {
    expect((await harness.send("GET", "/cdh/resource/repo/type/tag")).status).toBe(200);
    await harness.hub(HUB);
    expect((await harness.send("GET", "/cdh/resource/repo/type/tag")).status).toBe(200);
    expect(harness.errors).toEqual([]);
  });

  it("ends a call of a container that goes away, and tells nobody a component's words", async () => {
    const called = Promise.withResolvers<void>();
    await harness.hub({
      GetResource: async () => {
        called.resolve();
        return await new Promise<never>(() => undefined);
      },
    });
    const socket = connect(harness.port, "127.0.0.1");
    socket.write("GET /cdh/resource/a/b/c HTTP/1.1\r\n\r\n");
    await called.promise;
    const failed = new Promise<void>((resolve) => {
      harness.errors.push = (...texts: string[]): number => {
        resolve();
        return texts.length;
      };
    });
    socket.destroy();
    await failed;
  });

  it("answers bytes that are no HTTP with 400, and lives", async () => {
    const socket = connect(harness.port, "127.0.0.1");
    const answered = new Promise<string>((resolve) => {
      let text = "";
      socket.setEncoding("utf8").on("data", (part: string) => (text += part));
      socket.once("close", () => resolve(text));
    });
    socket.write("\u0000nonsense\r\n\r\n");
    expect(await answered).toMatch(/^HTTP\/1\.1 400 /u);
    expect((await harness.send("GET", "/info")).status).toBe(200);
  });
});

describe("Router", () => {
  it("answers a failure that nobody foresaw without its words", async () => {
    const broken = { call: () => Promise.reject(new Error("secret words")) } as unknown as Component;
    const errors: unknown[] = [];
    const router = new Router({
      feature: "all",
      agent: broken,
      hub: broken,
      onError: (_path, error) => errors.push(error),
    });
    const { status, body } = await router.reply({
      method: "GET",
      path: "/cdh/resource/a/b/c",
      query: new URLSearchParams(),
      body: () => Promise.resolve(Buffer.alloc(0)),
      signal: new AbortController().signal,
    });
    expect([status, body.toString()]).toEqual([500, "ttrpc request error"]);
    expect(errors).toHaveLength(1);
  });
});
