import { EventEmitter } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough } from "node:stream";

import { AttestationAgentService, Code } from "@nacre/protocols";
import { RpcError, TtrpcServer } from "@nacre/ttrpc";
import { listen, type Listener } from "@nacre/vsock";
import { afterAll, beforeAll, expect, it } from "vitest";

import { COMMANDS } from "../src/commands/index.ts";
import { Interrupts } from "../src/interrupts.ts";
import { nacre } from "../src/nacre.ts";

const dir = mkdtempSync(join(tmpdir(), "nacre-aa-"));
const address = `unix://${dir}/aa.sock`;
const asked: object[] = [];
const claims = Buffer.from('{"submods":{"cpu0":{}}}').toString("base64url");
let listener: Listener;
let server: TtrpcServer;

beforeAll(async () => {
  server = new TtrpcServer().addService(AttestationAgentService, {
    GetTeeType: () => ({ tee: "sample" }),
    GetAdditionalTees: () => ({ additional_tees: ["nvidia"] }),
    GetEvidence: ({ RuntimeData }) => ({ Evidence: Buffer.from(`{"data":"${Buffer.from(RuntimeData).toString()}"}`) }),
    GetAdditionalEvidence: () => ({ Evidence: Buffer.alloc(0) }),
    GetToken: (request) => {
      asked.push(request);
      if (request.TokenType !== "kbs") throw new RpcError(Code.INTERNAL, "AA-KBC get token failed");
      return { Token: Buffer.from(`{"token":"e30.${claims}.x","tee_keypair":"PRIVATE KEY"}`) };
    },
    ExtendRuntimeMeasurement: (request) => {
      asked.push(request);
      return { Result: request.Domain === "d" ? 0 : 2 };
    },
  });
  listener = await listen(address, (transport) => void server.serve(transport));
});
afterAll(async () => {
  await Promise.all([listener.close(), server.close({ graceMs: 0 })]);
  rmSync(dir, { recursive: true });
});

async function run(...argv: readonly string[]): Promise<readonly [status: number, out: string, err: string]> {
  const [stdin, stdout, stderr] = [new PassThrough(), new PassThrough(), new PassThrough()];
  const streams = { stdin, stdout, stderr } as unknown as Pick<
    Parameters<typeof nacre>[2],
    "stdin" | "stdout" | "stderr"
  >;
  const interrupts = new Interrupts(new EventEmitter());
  const [name = "", ...rest] = argv;
  const given = rest.includes("--address") ? rest : [...rest, "--address", address];
  const status = await nacre(COMMANDS, ["aa", name, ...given], { ...streams, env: {}, interrupts });
  const read = (stream: PassThrough): string => String(stream.read() ?? "");
  return [status, read(stdout), read(stderr)];
}

it.each<[readonly string[], number, string]>([
  [["get-tee"], 0, "sample\nnvidia\n"],
  [["get-tee", "--json"], 0, '{"tee":"sample","devices":["nvidia"]}\n'],
  [["get-evidence", "-r", "aGk="], 0, '{"data":"hi"}\n'],
  [["get-evidence", "--additional", "--json"], 0, "null\n"],
  [["get-token", "--claims", "--json"], 0, '{"submods":{"cpu0":{}}}\n'],
  [["extend-runtime-measurement", "-d", "d", "-o", "o", "-c", "c", "-p", "11"], 0, "OK\n"],
  [["extend-runtime-measurement", "-d", "e", "-o", "o", "-c", "c"], 1, "NOT_ENABLED\n"],
])("nacre aa %j", async (argv, status, out) => {
  expect(await run(...argv)).toEqual([status, out, ""]);
});

it("asks for a token that is made now, and shows the whole only where it is asked for", async () => {
  asked.length = 0;
  const [status, out] = await run("get-token", "--fresh");
  expect([status, out]).toEqual([0, expect.stringContaining("PRIVATE KEY") as string]);
  expect(asked).toEqual([{ TokenType: "kbs", fresh: true }]);
});

it.each([
  [["get-tee"]],
  [["get-tee", "--json"]],
  [["get-evidence"]],
  [["get-evidence", "--json"]],
  [["get-evidence", "--additional"]],
  [["get-token"]],
  [["get-token", "--json"]],
  [["get-token", "--claims"]],
  [["get-token", "-t", "refused"]],
  [["get-token", "-t", "refused", "--json"]],
])("what a hostile agent says steers no terminal: nacre aa %j", async (argv) => {
  const text = "\u001b[2J\u009b31m\u202e";
  const hostile = new TtrpcServer().addService(AttestationAgentService, {
    GetTeeType: () => ({ tee: text }),
    GetAdditionalTees: () => ({ additional_tees: [text] }),
    GetEvidence: () => ({ Evidence: Buffer.from(JSON.stringify({ [text]: text })) }),
    GetAdditionalEvidence: () => ({ Evidence: Buffer.from(text) }),
    GetToken: ({ TokenType }) => {
      if (TokenType === "refused") throw new RpcError(Code.INTERNAL, text);
      const said = Buffer.from(JSON.stringify({ iss: text })).toString("base64url");
      return { Token: Buffer.from(JSON.stringify({ token: `e30.${said}.x`, tee_keypair: text })) };
    },
    ExtendRuntimeMeasurement: () => ({ Result: 0 }),
  });
  const its = `unix://${dir}/hostile.sock`;
  const listening = await listen(its, (transport) => void hostile.serve(transport));
  try {
    const said = (await run(...argv, "--address", its)).slice(1).join("");
    expect(said).not.toMatch(/[\u001b\u009b\u202e]/u);
    expect(said).toMatch(/x1b|u001b/u);
  } finally {
    await Promise.all([listening.close(), hostile.close({ graceMs: 0 })]);
  }
});

it.each<[readonly string[], string]>([
  [["get-token", "-t", "other"], "AA-KBC get token failed (the guest's log says why)"],
  [["get-evidence", "-r", "%"], "--runtime-data: expected base64"],
  [["extend-runtime-measurement", "-d", "d"], "expected --domain, --operation and --content"],
  [["extend-runtime-measurement", "-d", "d", "-o", "o", "-c", "c", "-p", "x"], "--pcr: expected a number"],
  [["get-tee", "--address", `unix://${dir}/none`], "cannot be reached"],
])("nacre aa %j fails", async (argv, message) => {
  const [status, out, err] = await run(...argv);
  expect(status).not.toBe(0);
  expect(out).toBe("");
  expect(err).toContain(message);
});
