import { mkdtempSync, rmSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { once } from "node:events";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { Client, credentials, Metadata, type ServiceError } from "@grpc/grpc-js";
import { type KbsHttp, KbsProtocolError, REASON_DOMAIN } from "@nacre/kbs-protocol";
import {
  AttestationAgentService,
  decode,
  type MethodDescriptor,
  RuntimeMeasurementResult,
  type status,
} from "@nacre/protocols";
import { reasonOf, RpcError, TtrpcClient } from "@nacre/ttrpc";
import { dial } from "@nacre/vsock";
import { createGrpcServer } from "@nacre/vsock/grpc-server";
import { afterEach, describe, expect, it } from "vitest";

import { type AgentParts, parseConfig, serve } from "../src/index.ts";
import { agent, attester } from "./fakes.ts";

const closing: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close();
});

interface Served {
  readonly path: string;
  readonly addresses: readonly string[];
  readonly lines: string[];
  readonly loads: () => number;
}

async function serving(parts: Partial<AgentParts> = {}, hostAddress?: string): Promise<Served> {
  const folder = mkdtempSync(join(tmpdir(), "nacre-aa-serve-"));
  closing.push(() => rmSync(folder, { recursive: true }));
  const path = join(folder, "aa.sock");
  const { agent: one, lines } = agent(parts);
  let loads = 0;
  const server = await serve({
    agent: one,
    log: (level, text) => void lines.push(`${level} ${text}`),
    socket: `unix://${path}`,
    hostAddress: hostAddress ?? `unix://${path}-host`,
    grpcAddress: "tcp://127.0.0.1:0",
    loadGrpc: () => {
      loads += 1;
      return Promise.resolve({ createGrpcServer });
    },
  });
  closing.push(() => server.close());
  return { path, addresses: server.addresses, lines, loads: () => loads };
}

const { GetEvidence, GetTeeType, GetToken, BindInitData, ExtendRuntimeMeasurement, GetAdditionalTees } =
  AttestationAgentService.methods;

function grpcClient(target: string) {
  const client = new Client(target.startsWith("/") ? `unix:${target}` : target, credentials.createInsecure());
  closing.push(() => client.close());
  return <Req, Res>(method: MethodDescriptor<Req, Res>, request: Parameters<typeof method.encodeRequest>[0]) =>
    new Promise<Res>((resolve, reject) => {
      client.makeUnaryRequest(
        method.path,
        (value: Uint8Array) => Buffer.from(value),
        (bytes: Buffer) => method.decodeResponse(bytes),
        method.encodeRequest(request),
        new Metadata(),
        { deadline: Date.now() + 30_000 },
        (error, response) => (error === null ? resolve(response as Res) : reject(error)),
      );
    });
}

describe("the socket", () => {
  it("speaks ttRPC", async () => {
    const { path, lines, loads } = await serving();
    const client = new TtrpcClient(await dial(`unix://${path}`));
    closing.push(() => client.close());
    expect(await client.call(GetTeeType, {})).toEqual({ tee: "sample" });
    expect(await client.call(GetAdditionalTees, {})).toEqual({ additional_tees: [] });
    const { Evidence } = await client.call(GetEvidence, { RuntimeData: Buffer.from("x") });
    expect(Buffer.from(Evidence).toString()).toBe('{"report_data":"eA==","svn":"1"}');
    await expect(client.call(GetToken, { TokenType: "kbs" })).rejects.toEqual(
      new RpcError(13, "[ERROR:attestation-agent] AA-KBC get token failed"),
    );
    await expect(client.call(BindInitData, {})).rejects.toEqual(
      new RpcError(5, "/attestation_agent.AttestationAgentService/BindInitData is not supported"),
    );
    expect(await client.call(ExtendRuntimeMeasurement, {})).toEqual({ Result: RuntimeMeasurementResult.NOT_ENABLED });
    // Why it failed is for the guest's log.
    expect(lines).toContain("error GetToken: Error: kbs token config not configured in config file");
    expect(loads()).toBe(0);
  });

  it("speaks gRPC beside it", async () => {
    const { path, loads } = await serving();
    const call = grpcClient(path);
    expect(await call(GetTeeType, {})).toEqual({ tee: "sample" });
    await expect(call(BindInitData, { Digest: Buffer.alloc(32) })).rejects.toMatchObject({
      code: 13,
      details: "[ERROR:attestation-agent] AA binding init data failed",
    });
    await expect(call(GetToken, { TokenType: "x" })).rejects.toMatchObject({
      code: 13,
      details: "[ERROR:attestation-agent] AA get token failed",
    });
    const other = grpcClient(path);
    expect(await other(GetTeeType, {})).toEqual({ tee: "sample" });
    const ttrpc = new TtrpcClient(await dial(`unix://${path}`));
    closing.push(() => ttrpc.close());
    expect(await ttrpc.call(GetTeeType, {})).toEqual({ tee: "sample" });
    expect(loads()).toBe(1);
  });

  it("binds initdata over gRPC where the platform has a place for it", async () => {
    const digests: string[] = [];
    const bindInitdata = (digest: Uint8Array): Promise<"bound"> => {
      digests.push(Buffer.from(digest).toString("hex"));
      return Promise.resolve("bound");
    };
    const { path } = await serving({ attester: { ...attester(), bindInitdata } });
    expect(await grpcClient(path)(BindInitData, { Digest: Buffer.from("ab", "hex") })).toEqual({});
    expect(digests).toEqual(["ab"]);
  });

  it("tells programs why there is no token", async () => {
    const config = parseConfig({ token_configs: { kbs: { url: "http://broker.test" } } }).config;
    const send: KbsHttp["send"] = () => Promise.reject(new KbsProtocolError("network", "nobody there"));
    const { path } = await serving({ config, http: () => Promise.resolve({ send }) });
    const client = new TtrpcClient(await dial(`unix://${path}`));
    closing.push(() => client.close());
    const error = await client.call(GetToken, { TokenType: "kbs" }).catch((e: unknown) => e);
    expect(error).toMatchObject({ code: 13, message: "[ERROR:attestation-agent] AA-KBC get token failed" });
    expect(reasonOf(error, REASON_DOMAIN)).toBe("UNREACHABLE");

    const grpcError = await grpcClient(path)(GetToken, { TokenType: "kbs" }).catch((e: unknown) => e);
    const [bytes] = (grpcError as ServiceError).metadata.get("grpc-status-details-bin");
    const status = decode("google.rpc.Status", bytes as Buffer) as status.Status;
    expect([status.code, status.message]).toEqual([13, "[ERROR:attestation-agent] AA get token failed"]);
    const unlike = new RpcError(13, "", { details: status.details });
    expect(reasonOf(unlike, REASON_DOMAIN)).toBe("UNREACHABLE");
  });

  it("speaks both where the host comes in, and gRPC alone over TCP", async () => {
    const { path, addresses } = await serving();
    expect(addresses).toEqual([
      `unix://${path}`,
      `unix://${path}-host`,
      expect.stringMatching(/^tcp:\/\/127\.0\.0\.1:\d+$/u),
    ]);
    const ttrpc = new TtrpcClient(await dial(`unix://${path}-host`));
    closing.push(() => ttrpc.close());
    expect(await ttrpc.call(GetTeeType, {})).toEqual({ tee: "sample" });
    expect(await grpcClient(`${path}-host`)(GetTeeType, {})).toEqual({ tee: "sample" });
    const tcp = addresses[2]?.slice("tcp://".length) ?? "";
    expect(await grpcClient(tcp)(GetTeeType, {})).toEqual({ tee: "sample" });
    const wrong = new TtrpcClient(await dial(`tcp://${tcp}`));
    closing.push(() => wrong.close());
    await expect(wrong.call(GetTeeType, {})).rejects.toThrow();
  });

  it("leaves nothing where its socket is somebody else's", async () => {
    const { path } = await serving();
    const folder = mkdtempSync(join(tmpdir(), "nacre-aa-second-"));
    closing.push(() => rmSync(folder, { recursive: true }));
    const second = {
      agent: agent().agent,
      log: () => undefined,
      socket: `unix://${path}`,
      hostAddress: `unix://${folder}/1027.sock`,
      grpcAddress: undefined,
      loadGrpc: () => Promise.resolve({ createGrpcServer }),
    };
    await expect(serve(second)).rejects.toMatchObject({ code: "in-use" });
    await expect(dial(`unix://${folder}/1027.sock`)).rejects.toThrow();
  });

  it("goes on where the host cannot come in", async () => {
    const { path, addresses, lines } = await serving({}, "unix:///nonexistent/1027.sock");
    expect(addresses).toHaveLength(2);
    expect(lines.join("\n")).toContain("warn not for the host: listen on unix:///nonexistent/1027.sock");
    const client = new TtrpcClient(await dial(`unix://${path}`));
    closing.push(() => client.close());
    expect(await client.call(GetTeeType, {})).toEqual({ tee: "sample" });
  });

  it("lives on after callers that say nothing, garbage, or go", async () => {
    const { path } = await serving();
    const open = async (): Promise<Socket> => {
      const socket = connect(path);
      socket.on("error", () => undefined);
      closing.push(() => socket.destroy());
      await once(socket, "connect");
      return socket;
    };
    await open();
    (await open()).destroy();
    (await open()).end();
    (await open()).end("P");
    (await open()).end("PRI * HTTP/1.1\r\n\r\n");
    (await open()).end(Buffer.alloc(64, 0xff));
    const client = new TtrpcClient(await dial(`unix://${path}`));
    closing.push(() => client.close());
    expect(await client.call(GetTeeType, {})).toEqual({ tee: "sample" });
  });
});
