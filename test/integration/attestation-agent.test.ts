import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { parseAttestRequest, primaryRuntimeData, reportData, TeeKey } from "@nacre/kbs-protocol";
import { AttestationAgentService, fromJson, type MethodDescriptor, toJson } from "@nacre/protocols";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { RawTtrpc } from "../fixtures/raw-ttrpc.ts";
import { jsonLines, vectors } from "../setup/data.ts";

const MAIN = new URL("../../packages/attestation-agent/src/main.ts", import.meta.url).pathname;
const folder = mkdtempSync(join(tmpdir(), "nacre-aa-"));
const started: ChildProcess[] = [];
let broker: Server;
let kbs = "";

/** A key broker that checks what evidence is bound to. */
beforeAll(async () => {
  broker = createServer((request, response) => {
    let body = "";
    request.setEncoding("utf8").on("data", (part: string) => (body += part));
    request.on("end", () => {
      if (request.url === "/kbs/v0/auth") {
        response.setHeader("set-cookie", "kbs-session-id=00; Expires=Thu, 01 Jan 2099 00:00:00 GMT");
        response.end('{"nonce":"u7oJtsa7Gc2uENWMGNU9kaFLEuvDXnOJHlTWvB30Lw4=","extra-params":""}');
        return;
      }
      const { "runtime-data": runtime, "tee-evidence": evidence, "init-data": initdata } = parseAttestRequest(body);
      const bound = reportData(primaryRuntimeData(runtime, evidence.additional_evidence)).toString("base64");
      const right = JSON.stringify(evidence.primary_evidence) === JSON.stringify({ report_data: bound, svn: "1" });
      response.statusCode = right ? 200 : 401;
      const claims = Buffer.from(JSON.stringify({ iat: 0, exp: 300, initdata })).toString("base64url");
      response.end(JSON.stringify({ token: `e30.${claims}.x` }));
    });
  });
  broker.listen(0, "127.0.0.1");
  await once(broker, "listening");
  kbs = `http://127.0.0.1:${(broker.address() as AddressInfo).port}`;
});

afterAll(async () => {
  for (const child of started) {
    if (child.exitCode !== null || child.signalCode !== null) continue;
    child.kill("SIGTERM");
    await once(child, "exit");
  }
  broker.close();
  rmSync(folder, { recursive: true });
});

function file(name: string, content: string): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}

interface Running {
  readonly socket: string;
  readonly child: ChildProcess;
}

/** Starts the daemon; resolves when it says that it listens, with its words when it ends before. */
async function start(name: string, args: readonly string[]): Promise<Running | { said: string; code: number | null }> {
  const socket = join(folder, `${name}.sock`);
  const at = args.includes("--attestation_sock") ? [] : ["--attestation_sock", `unix://${socket}`];
  const child = spawn(process.execPath, ["--conditions=source", MAIN, ...at, ...args], {
    env: { PATH: "/usr/bin" },
    stdio: ["ignore", "ignore", "pipe"],
  });
  started.push(child);
  let said = "";
  const { promise, resolve } = Promise.withResolvers<Running | { said: string; code: number | null }>();
  child.stderr?.setEncoding("utf8").on("data", (text: string) => {
    said += text;
    if (said.includes("listening on")) resolve({ socket, child });
  });
  // Not at its exit: what it said may still be on its way.
  child.once("close", (code) => resolve({ said, code }));
  return await promise;
}

async function running(name: string, args: readonly string[]): Promise<Running> {
  const result = await start(name, args);
  if ("said" in result) throw new Error(`the agent ended: ${result.said}`);
  return result;
}

interface Row {
  readonly id: string;
  readonly section: string;
  readonly service: string;
  readonly method: string;
  readonly request?: Readonly<Record<string, unknown>>;
  readonly request_b64?: string | null;
  readonly request_len?: number;
  readonly timeout_ns?: number;
  readonly reply?: object;
  readonly code?: number;
  readonly message?: string;
}

const recorded = vectors("golden/aa.jsonl");
const rows: readonly Row[] =
  recorded === undefined
    ? [
        {
          id: "own/tee-type",
          section: "aa",
          service: "attestation_agent.AttestationAgentService",
          method: "GetTeeType",
          request: {},
          reply: { tee: "sample" },
        },
      ]
    : jsonLines<Row>(recorded).filter(({ section }) => section !== "start");

/** Where ours differs, and why. */
const DIFFERENCES: Readonly<Record<string, string>> = {
  // None of these has a different reply; the second token is the first one, because it is kept.
  "aa/token-kbs-again":
    "the token is kept until shortly before it expires; [token_configs.kbs] cache_token = false turns it off",
};

const ARGUMENTS: Readonly<Record<string, () => readonly string[]>> = {
  aa: () => [
    "-c",
    file("aa.toml", `[token_configs.kbs]\nurl = "${kbs}"\n[token_configs.coco_as]\nurl = "http://127.0.0.1:1"\n`),
  ],
  "aa-noconf": () => [],
  "aa-init": () => [
    "-c",
    file("aa-init.toml", `[token_configs.kbs]\nurl = "${kbs}"\n`),
    "--initdata-toml",
    file("initdata.toml", 'version = "0.1.0"\nalgorithm = "sha384"\n[data]\nx = "y"\n'),
  ],
  "aa-down": () => ["-c", file("down.toml", '[token_configs.kbs]\nurl = "http://127.0.0.1:1"\n')],
};

const METHODS = AttestationAgentService.methods as Readonly<Record<string, MethodDescriptor<object, object>>>;

describe.each([...new Set(rows.map(({ section }) => section))])("the recorded replies of %s", (section) => {
  let client: RawTtrpc;
  let tokens: string[];
  beforeAll(async () => {
    const { socket } = await running(section, ARGUMENTS[section]?.() ?? []);
    client = await RawTtrpc.connect(socket);
    tokens = [];
  });
  afterAll(() => client.close());

  it.each(rows.filter((row) => row.section === section))("$id", async (row) => {
    const method = METHODS[row.method];
    const payload =
      row.request !== undefined
        ? (method?.encodeRequest(fromJson(method.requestType, row.request)) ?? new Uint8Array())
        : typeof row.request_b64 === "string"
          ? Buffer.from(row.request_b64, "base64")
          : Buffer.alloc(row.request_len ?? 0);
    const answer = await client.call({
      service: row.service,
      method: row.method,
      payload,
      ...(row.timeout_ns === undefined ? {} : { timeoutNano: BigInt(row.timeout_ns) }),
    });
    if (row.id === "aa/evidence-timeout" && answer.kind === "status") {
      // Upstream's answer came within its nanosecond; ours may find that it has passed.
      expect(answer).toMatchObject({ code: 4, message: "timeout" });
      return;
    }
    if (row.reply === undefined) {
      // The length counts the envelope, which is the client's.
      const message = row.message?.replace(/^message length \d+/u, "");
      expect(answer).toMatchObject({ kind: "status", code: row.code });
      expect(answer.kind === "status" && answer.message.replace(/^message length \d+/u, "")).toBe(message);
      return;
    }
    if (answer.kind !== "reply" || method === undefined)
      throw new Error(`expected a reply, got ${JSON.stringify(answer)}`);
    const reply = method.decodeResponse(answer.payload);
    if (row.method !== "GetToken") {
      expect(toJson(method.responseType, reply)).toEqual(row.reply);
      return;
    }
    const text = Buffer.from((reply as { Token: Uint8Array }).Token).toString();
    const { token, tee_keypair: pem } = JSON.parse(text) as { token: string; tee_keypair: string };
    expect(Object.keys(JSON.parse(text) as object)).toEqual(["token", "tee_keypair"]);
    expect(pem.trimEnd().split("\n")).toHaveLength(5);
    expect(pem).toContain("-----BEGIN PRIVATE KEY-----");
    expect(TeeKey.fromPem(Buffer.from(pem)).publicKey.kty).toBe("EC");
    const claims = JSON.parse(Buffer.from(token.split(".")[1] ?? "", "base64url").toString()) as { initdata: unknown };
    expect(claims.initdata).toEqual(
      section === "aa-init" ? { format: "toml", body: readFileSync(join(folder, "initdata.toml"), "utf8") } : null,
    );
    tokens.push(text);
    expect(new Set(tokens).size === tokens.length).toBe(DIFFERENCES[row.id] === undefined);
  });
});

describe("the daemon", () => {
  const config = (): string => file("start.toml", `[token_configs.kbs]\nurl = "${kbs}"\n`);

  // The recorded starts, with what they said.
  it.each<[string, () => readonly string[], string]>([
    [
      "config-absent",
      () => ["-c", `${folder}/none.toml`],
      `Error: configuration file "${folder}/none.toml" not found\n`,
    ],
    [
      "config-conf-extension",
      () => ["-c", file("aa.conf", "")],
      `Error: configuration file "${folder}/aa.conf" is not of a supported file format\n`,
    ],
    [
      "initdata-bad-toml",
      () => ["-c", config(), "-t", file("bad.toml", 'socket = "x"\n')],
      "Error: initdata: expected ",
    ],
    ["initdata-digest-bad", () => ["-c", config(), "-i", "!!!"], "Error: base64 decode initdata"],
    [
      "sock-no-prefix",
      () => ["--attestation_sock", `${folder}/x.sock`],
      "Error: clean previous attestation socket file\n\nCaused by:\n    socket address scheme is not expected\n",
    ],
  ])("does not start: %s", async (name, args, words) => {
    const result = await start(name, args());
    expect(result).toMatchObject({ code: 1, said: expect.stringContaining(words) as string });
  });

  it("starts with a digest, and with an event log that no register is for (upstream's ends with 101)", async () => {
    const digest = Buffer.alloc(48).toString("base64");
    await running("digest", ["-c", config(), "-i", digest]);
    const log = file("log.toml", "[eventlog_config]\nenable_eventlog = true\n");
    const { socket } = await running("event-log", ["-c", log]);
    const client = await RawTtrpc.connect(socket);
    const { ExtendRuntimeMeasurement: method } = AttestationAgentService.methods;
    const payload = method.encodeRequest({ Domain: "d", Operation: "o", Content: "c" });
    const answer = await client.call({ service: method.service, method: method.name, payload });
    expect(answer.kind === "reply" && method.decodeResponse(answer.payload)).toEqual({ Result: 1 });
    client.close();
  });

  it.each(["SIGTERM", "SIGINT", "SIGHUP"] as const)("ends cleanly on %s", async (signal) => {
    const { child } = await running(signal, ["-c", config()]);
    child.kill(signal);
    expect(await once(child, "exit")).toEqual([0, null]);
  });

  it("takes the place of one that is gone, and of none that lives", async () => {
    const { child } = await running("place", []);
    expect(await start("place", [])).toMatchObject({ code: 1 });
    child.kill("SIGKILL");
    await once(child, "exit");
    await running("place", []);
  });
});
