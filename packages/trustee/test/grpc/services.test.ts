import { once } from "node:events";
import { readFileSync } from "node:fs";
import type { IncomingMessage, ServerResponse } from "node:http";
import { type ClientHttp2Session, type ClientHttp2Stream, connect as connectHttp2 } from "node:http2";
import { connect } from "node:net";
import { join } from "node:path";

import { Client, connectivityState, credentials, type ServiceError } from "@grpc/grpc-js";
import protobuf from "protobufjs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { referenceMethods } from "../../src/grpc/reference-api.ts";
import { type GrpcLimits, serveServices } from "../../src/grpc/service-server.ts";
import type { RunningServer } from "../../src/kbs/http-server.ts";
import { ReferenceValues } from "../../src/rvps/reference-values.ts";
import { serveAttestation, serveReferenceValues } from "../../src/services.ts";
import { MemoryStorage } from "../../src/storage/memory.ts";
import { attest, sampleGuest } from "../kbs/sample-guest.ts";
import { testTrustee } from "../kbs/test-trustee.ts";

/** Nothing of ours is on the client's side: grpc-js carries, protobufjs encodes from the definitions. */
const PROTOS = join(import.meta.dirname, "../../../../protos/trustee");
const root = protobuf.parse(readFileSync(join(PROTOS, "attestation.proto"), "utf8"), { keepCase: true }).root;
protobuf.parse(readFileSync(join(PROTOS, "reference.proto"), "utf8"), root, { keepCase: true });
const AS = "attestation.AttestationService";
const RVPS = "reference.ReferenceValueProviderService";

type Message = Record<string, unknown>;

function caller(port: number) {
  const client = new Client(`127.0.0.1:${port}`, credentials.createInsecure());
  const raw = (path: string, bytes: Uint8Array): Promise<Buffer> =>
    new Promise((resolve, reject) => {
      const same = (value: Buffer): Buffer => value;
      client.makeUnaryRequest(path, same, same, Buffer.from(bytes), (error: ServiceError | null, reply?: Buffer) => {
        if (error === null) resolve(reply ?? Buffer.alloc(0));
        else reject(error);
      });
    });
  const call = async (service: string, method: string, request: Message): Promise<Message> => {
    const { requestType, responseType } = root.lookupService(service).methods[method] ?? expect.unreachable();
    const [name] = service.split(".");
    const type = root.lookupType(`${name}.${requestType}`);
    const reply = await raw(`/${service}/${method}`, type.encode(type.fromObject(request)).finish());
    const answer = root.lookupType(`${name}.${responseType}`);
    return answer.toObject(answer.decode(reply));
  };
  /** Resolves when there is no connection any more. */
  const disconnected = async (): Promise<void> => {
    const channel = client.getChannel();
    while (channel.getConnectivityState(false) === connectivityState.READY) {
      await new Promise((done) =>
        channel.watchConnectivityState(connectivityState.READY, Number.POSITIVE_INFINITY, done),
      );
    }
  };
  return { raw, call, disconnected, close: () => client.close() };
}

const log: string[] = [];
const common = { host: "127.0.0.1", port: 0, log: (line: string) => void log.push(line) };
const attestation = { signer: {}, verboseToken: true, vcekSources: [] };
const rvpsMessage = (values: unknown): string =>
  JSON.stringify({ version: "0.1.0", type: "sample", payload: Buffer.from(JSON.stringify(values)).toString("base64") });
const evidence = (reportData: string): string =>
  Buffer.from(JSON.stringify({ svn: "1", report_data: reportData })).toString("base64url");
const claimsOf = (token: unknown): Message =>
  JSON.parse(Buffer.from(String(token).split(".")[1] ?? "", "base64url").toString()) as Message;

let server: RunningServer;
let client: ReturnType<typeof caller>;
beforeAll(async () => {
  server = await serveAttestation({ ...common, storage: new MemoryStorage(), attestation });
  client = caller(server.port);
});
afterAll(async () => {
  client.close();
  await server.close();
});

describe("an attestation service by itself, over gRPC", () => {
  const one = { tee: "sample", evidence: evidence("AAAA") };

  it("evaluates evidence, and says in the token what it found", async () => {
    const { attestation_token: token } = await client.call(AS, "AttestationEvaluate", { verification_requests: [one] });
    expect(claimsOf(token)).toMatchObject({ submods: { cpu0: { "ear.status": "contraindicated" } } });
  });

  it("compares report data: bytes as they are, JSON by its hash, and initdata", async () => {
    const evaluate = (more: Message): Promise<Message> =>
      client.call(AS, "AttestationEvaluate", { verification_requests: [{ ...one, ...more }], policy_ids: ["default"] });
    await evaluate({ raw_runtime_data: Buffer.alloc(3).toString("base64url") });
    const hash = "2ewoYJAuxxUZpZtldYr9K9svDvKNt2Tjn9Y0vJyYBmLLzlwDyslEl1oCtvx9nOhc";
    const bound = { evidence: evidence(hash), structured_runtime_data: '{"x":1}' };
    await expect(evaluate({ raw_runtime_data: Buffer.alloc(4).toString("base64url") })).rejects.toMatchObject({
      code: 10,
      details: expect.stringMatching(/^Attestation evaluation failed: /u) as string,
    });
    await expect(evaluate(bound)).rejects.toMatchObject({ code: 10 });
    const { attestation_token: token } = await evaluate({
      init_data_toml: 'version = "0.1.0"\nalgorithm = "sha256"\n[data]\n"x.txt" = "y"\n',
    });
    expect(claimsOf(token)).toMatchObject({
      submods: { cpu0: { "ear.veraison.annotated-evidence": { init_data_claims: { "x.txt": "y" } } } },
    });
  });

  it.each([
    ["no evidence", {}, "expected 1 to 64 pieces"],
    ["an unknown kind", { verification_requests: [{ ...one, tee: "abacus" }] }, "Unsupported TEE type"],
    ["evidence that is no base64", { verification_requests: [{ ...one, evidence: "?" }] }, "expected base64"],
    ["evidence that is no JSON", { verification_requests: [{ ...one, evidence: "e30x" }] }, "evidence:"],
    [
      "a foreign hash",
      { verification_requests: [{ ...one, runtime_data_hash_algorithm: "md5" }] },
      "HashAlgorithm failed",
    ],
    ["a policy that is not there", { verification_requests: [one], policy_ids: ["other"] }, "expected the policy"],
  ])("refuses %s", async (_, request, details) => {
    await expect(client.call(AS, "AttestationEvaluate", request)).rejects.toMatchObject({
      code: 10,
      details: expect.stringContaining(details) as string,
    });
  });

  it("takes policies, and refuses a text that is none", async () => {
    const policy = 'package policy\ntrust_claims := {"executables": 2}\n';
    await client.call(AS, "SetAttestationPolicy", { policy_id: "mine_cpu", policy });
    const { attestation_token: token } = await client.call(AS, "AttestationEvaluate", {
      verification_requests: [one],
      policy_ids: ["mine"],
    });
    expect(claimsOf(token)).toMatchObject({ submods: { cpu0: { "ear.status": "affirming" } } });
    await expect(
      client.call(AS, "SetAttestationPolicy", { policy_id: "mine_cpu", policy: "nonsense" }),
    ).rejects.toMatchObject({ code: 10, details: expect.stringContaining("Set Attestation Policy Failed") as string });
  });

  it("has a challenge that adds nothing, but none of Secure Execution", async () => {
    const challenge = (inner: Message): Promise<Message> => client.call(AS, "GetAttestationChallenge", { inner });
    expect(await challenge({ tee: "snp", tee_params: "" })).toEqual({});
    await expect(challenge({ tee: "se", tee_params: "" })).rejects.toMatchObject({ code: 10 });
    await expect(challenge({ tee_params: "" })).rejects.toMatchObject({ details: "Error parse inner_tee tee" });
    await expect(challenge({ tee: "snp" })).rejects.toMatchObject({ details: "Error parse inner_tee tee_params" });
  });

  it("takes reference values, which count at once", async () => {
    await client.call(RVPS, "RegisterReferenceValue", { message: rvpsMessage({ launch_digest: ["abcde"] }) });
    const found = await client.call(RVPS, "QueryReferenceValue", { reference_value_id: "launch_digest" });
    expect(found).toEqual({ reference_value_results: '["abcde"]' });
    expect(await client.call(RVPS, "QueryReferenceValue", { reference_value_id: "nothing" })).toEqual({});
    await expect(client.call(RVPS, "RegisterReferenceValue", { message: "{}" })).rejects.toMatchObject({
      code: 10,
      details: expect.stringContaining("Register reference value") as string,
    });
  });

  it("says that it is well, of each of its services", async () => {
    const health = (name: string): Promise<Buffer> =>
      client.raw(
        "/grpc.health.v1.Health/Check",
        name === "" ? Buffer.alloc(0) : Buffer.concat([Buffer.of(10, name.length), Buffer.from(name)]),
      );
    for (const name of ["", AS, RVPS]) expect([...(await health(name))]).toEqual([8, 1]);
    await expect(health("other")).rejects.toMatchObject({ code: 5 });
    await expect(client.raw(`/${AS}/Nothing`, Buffer.alloc(0))).rejects.toMatchObject({ code: 12 });
    await expect(client.raw(`/${AS}/AttestationEvaluate`, Buffer.of(0x0a, 9))).rejects.toMatchObject({ code: 10 });
  });
});

describe("an attestation service by itself, over REST", () => {
  const call = async (method: string, path: string, body?: unknown) => {
    const response = await fetch(`http://127.0.0.1:${server.port}${path}`, {
      method,
      ...(body === undefined ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) }),
    });
    return { status: response.status, text: await response.text() };
  };
  const request = { tee: "sample", evidence: evidence("AAAA") };

  it("evaluates evidence: the reply is the bare token, signed by the key of its set", async () => {
    const { status, text } = await call("POST", "/attestation", {
      verification_requests: [{ ...request, runtime_data: { raw: "AAAA" }, init_data: { init_data_digest: "AAAA" } }],
      policy_ids: [],
    });
    expect(status).toBe(200);
    expect(claimsOf(text)).toMatchObject({ submods: { cpu0: {} } });
    const { keys } = JSON.parse((await call("GET", "/.well-known/jwks.json")).text) as { keys: readonly Message[] };
    const { jwk } = JSON.parse(Buffer.from(text.split(".")[0] ?? "", "base64url").toString()) as { jwk: Message };
    expect(keys).toEqual([jwk]);
  });

  it("lists, shows and takes policies", async () => {
    const policy = 'package policy\ntrust_claims := {"hardware": 2}\n';
    expect(await call("POST", "/policy", { policy_id: "rest_cpu", policy })).toEqual({ status: 200, text: "" });
    expect(await call("GET", "/policy/rest_cpu")).toEqual({ status: 200, text: policy });
    const list = JSON.parse((await call("GET", "/policy")).text) as readonly { "policy-id": string }[];
    expect(list.map((entry) => entry["policy-id"])).toEqual(expect.arrayContaining(["default_cpu", "rest_cpu"]));
    expect((await call("GET", "/policy/none")).status).toBe(500);
  });

  it("answers challenges and whether it is well", async () => {
    expect(await call("POST", "/challenge", { tee: "snp", tee_params: "" })).toEqual({ status: 200, text: "" });
    expect((await call("GET", "/healthz")).status).toBe(200);
    expect((await call("GET", "/other")).status).toBe(404);
  });

  it("takes nothing from a web page that the owner has open", async () => {
    const page = { method: "POST", headers: { origin: "http://pages.example", "content-type": "text/plain" } };
    const policy = 'package policy\ntrust_claims := {"hardware": 2}\n';
    const body = JSON.stringify({ policy_id: "paged_cpu", policy });
    const response = await fetch(`http://127.0.0.1:${server.port}/policy`, { ...page, body });
    expect(response.status).toBe(500);
    expect((await call("GET", "/policy/paged_cpu")).status).toBe(500);
  });

  it.each([
    ["no list of policies", { verification_requests: [request] }],
    ["two kinds of runtime data", { verification_requests: [{ ...request, runtime_data: { raw: "AA", x: 1 } }] }],
    ["other report data", { verification_requests: [{ ...request, runtime_data: { raw: "AAAB" } }], policy_ids: [] }],
    ["what is no JSON", "{"],
    ["a member named twice", '{"policy_ids":[],"policy_ids":[],"verification_requests":[]}'],
  ])("refuses %s", async (_, body) => {
    expect((await call("POST", "/attestation", body)).status).toBe(500);
  });
});

it("tells protocols apart by a first packet of one byte", async () => {
  const socket = connect(server.port, "127.0.0.1");
  await once(socket, "connect");
  socket.setNoDelay(true).setEncoding("utf8");
  for (const byte of "POST /challenge HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}") {
    await new Promise((sent) => void socket.write(byte, sent));
  }
  let text = "";
  for await (const chunk of socket) text += String(chunk);
  expect(text).toMatch(/^HTTP\/1\.1 500/u);
});

it.each([
  ["in its head", "POST /x HTTP/1.1\r\nhost: x\r\n"],
  ["in its body", "POST /x HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{"],
  ["after a first one", "GET /x HTTP/1.1\r\nhost: x\r\n\r\nGET /y HTTP/1.1\r\n"],
])("a request of HTTP/1 that stops %s ends with its connection", async (_, text) => {
  const http = (request: IncomingMessage, response: ServerResponse): void => {
    request.resume().once("end", () => response.end());
  };
  const bounded = await serveServices({ ...common, methods: [], http, requestMs: 200 });
  const socket = connect(bounded.port, "127.0.0.1");
  // By an end or by a reset: what dripped in meanwhile was not read, and the kernel says so.
  const closed = new Promise((done) => void socket.resume().once("close", done));
  // Something comes all the time, so that the connection is never idle.
  const drip = setInterval(() => socket.write(text.endsWith("{") ? "" : "a"), 20);
  socket.on("error", () => {}).write(text);
  try {
    await closed;
  } finally {
    clearInterval(drip);
    await bounded.close();
  }
});

describe("a connection of gRPC", () => {
  const methods = [{ path: "/x.X/Slow", answer: () => new Promise<never>(() => {}) }];
  const head = { ":method": "POST", ":path": "/x.X/Slow", "content-type": "application/grpc", te: "trailers" };

  async function opened(
    grpc: Partial<GrpcLimits>,
  ): Promise<AsyncDisposable & { readonly session: ClientHttp2Session }> {
    const limited = await serveServices({ ...common, methods, grpc });
    const session = connectHttp2(`http://127.0.0.1:${limited.port}`).on("error", () => {});
    return {
      session,
      async [Symbol.asyncDispose]() {
        session.destroy();
        await limited.close();
      },
    };
  }
  const closed = (session: ClientHttp2Session): Promise<unknown> =>
    new Promise((done) => void session.once("close", done));

  it("has so many calls at a time", async () => {
    await using one = await opened({ streams: 3 });
    const [settings] = (await once(one.session, "remoteSettings")) as [{ readonly maxConcurrentStreams: number }];
    expect(settings.maxConcurrentStreams).toBe(3);
  });

  it("without calls is told to go, and ends", async () => {
    await using one = await opened({ idleMs: 100 });
    await closed(one.session);
  });

  it.each([
    ["sends nothing more", () => undefined],
    ["drips", (stream: ClientHttp2Stream) => void stream.write(Buffer.of(0))],
  ])("whose call %s ends once it is old", async (_, drip) => {
    await using one = await opened({ ageMs: 200, graceMs: 200 });
    const stream = one.session.request(head).on("error", () => {});
    const timer = setInterval(() => drip(stream), 20);
    try {
      await closed(one.session);
    } finally {
      clearInterval(timer);
    }
  });

  it("that ended for its age is replaced by the client's next call", async () => {
    const young = await serveServices({
      ...common,
      methods: referenceMethods(new ReferenceValues(new MemoryStorage(), Date.now)),
      grpc: { idleMs: 50 },
    });
    const rvps = caller(young.port);
    try {
      for (let round = 0; round < 4; round++) {
        expect(await rvps.call(RVPS, "QueryReferenceValue", { reference_value_id: "a" })).toEqual({});
        await rvps.disconnected();
      }
    } finally {
      rvps.close();
      await young.close();
    }
  });
});

it("reference values by themselves run out", async () => {
  let now = Date.now();
  const storage = new MemoryStorage();
  const alone = await serveReferenceValues({ ...common, storage, now: () => now });
  const rvps = caller(alone.port);
  try {
    await rvps.call(RVPS, "RegisterReferenceValue", { message: rvpsMessage({ a: 4 }) });
    const query = (): Promise<Message> => rvps.call(RVPS, "QueryReferenceValue", { reference_value_id: "a" });
    expect(await query()).toHaveProperty("reference_value_results");
    now += 367 * 24 * 3600 * 1000;
    expect(await query()).toEqual({});
    await expect(rvps.call(AS, "AttestationEvaluate", {})).rejects.toMatchObject({ code: 12 });
  } finally {
    rvps.close();
    await alone.close();
  }
});

it("a broker, its attestation service and its reference values are three processes' worth of servers", async () => {
  const values = await serveReferenceValues({ ...common, storage: new MemoryStorage() });
  const remoteReferenceValues = { address: `http://127.0.0.1:${values.port}` };
  const service = await serveAttestation({
    ...common,
    storage: new MemoryStorage(),
    attestation: { ...attestation, remoteReferenceValues },
  });
  const broker = await testTrustee({ attestation: { address: `http://127.0.0.1:${service.port}` } });
  try {
    const headers = { authorization: broker.admin() };
    const sample = { launch_digest: ["abcde"], svn: [1], major_version: 1, minimum_minor_version: 0 };
    const set = await broker.call("POST", "/kbs/v0/reference-value", headers, rvpsMessage(sample));
    expect(set.status).toBe(200);
    const got = await broker.call("GET", "/kbs/v0/reference-value/launch_digest", headers);
    expect([got.status, got.body]).toEqual([200, '["abcde"]']);
    expect((await broker.call("GET", "/kbs/v0/reference-value/nothing", headers)).status).toBe(401);
    // Its protocol cannot.
    expect((await broker.call("DELETE", "/kbs/v0/reference-value/launch_digest", headers)).status).toBe(401);

    const guest = sampleGuest();
    const { answer, cookie } = await attest(broker, guest);
    expect(answer.status).toBe(200);
    expect(broker.audit).toContainEqual(
      expect.objectContaining({
        event: "attest",
        outcome: "allowed",
        findings: [expect.objectContaining({ submodule: "cpu0", tee: "sample", policy: "default" })],
      }),
    );
    const policy = Buffer.from("package policy\nallow := true\n").toString("base64url");
    expect((await broker.call("POST", "/kbs/v0/resource-policy", headers, JSON.stringify({ policy }))).status).toBe(
      200,
    );
    await broker.call("POST", "/kbs/v0/resource/a/b/c", headers, "secret");
    expect((await broker.call("GET", "/kbs/v0/resource/a/b/c", { cookie })).status).toBe(200);

    const refused = await attest(broker, guest, (body) => (body["tee-evidence"]["primary_evidence"] = { svn: "1" }));
    expect(refused.answer.status).toBe(401);
    await service.close();
    expect((await attest(broker, guest)).answer.status).toBe(401);
    expect(broker.log.at(-1)).toContain("AttestationEvaluate: it does not answer");
  } finally {
    await broker.trustee.close();
    await values.close();
  }
});
