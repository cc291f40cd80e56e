import { execFile } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

import { AttestationAgentService, type Init, type MethodDescriptor } from "@nacre/protocols";
import { TtrpcClient } from "@nacre/ttrpc";
import { dial } from "@nacre/vsock";

import { Child } from "./child.ts";
import { benchComponents } from "./components.ts";
import { type BenchRow, median } from "./row.ts";

const run = promisify(execFile);
const ROUNDS = 3;
const SECONDS = 2;
/** Concurrent guests, and seconds that a session lives while they are counted. */
const CLIENTS = 64;
const SESSION_SECONDS = 3;
const CALLS = 2000;

/** Bounds of the Rust pair, recorded on a similar machine; it is not packaged here. */
const HANDSHAKE_MS = 6.3;
const TOKEN_MS = 0.3;
const EVIDENCE_MS = 0.15;
const RATE = 250;

/** Attestation against our own broker: one guest, many guests, and an agent's calls; the start of guest components. */
export async function benchAttest(): Promise<BenchRow[]> {
  const pin = availableParallelism() >= 2 && existsSync("/usr/bin/taskset") ? ["/usr/bin/taskset", "-c", "0"] : [];
  return [
    ...(pin.length === 0 ? [] : [await handshakes("handshake and one resource, all on one core", pin)]),
    await handshakes("handshake and one resource, unpinned", []),
    ...(await crowd()),
    ...(await agentCalls(pin)),
    await benchComponents(),
  ];
}

async function handshakes(name: string, pin: readonly string[]): Promise<BenchRow> {
  await using broker = await Child.start([...pin, ...script("attest-broker.ts")], true);
  const figures: number[] = [];
  for (let round = 0; round < ROUNDS; round++) figures.push((await client(pin, broker.said, 1)).median);
  return bound(name, "ms", median(figures), HANDSHAKE_MS);
}

async function crowd(): Promise<BenchRow[]> {
  await using broker = await Child.start(script("attest-broker.ts"), true, [String(SESSION_SECONDS)]);
  const figures: number[] = [];
  for (let round = 0; round < ROUNDS; round++) figures.push((await client([], broker.said, CLIENTS)).rate);
  const left = Number(await broker.ask());
  const rate = median(figures);
  return [
    {
      name: `handshakes and a resource each, ${CLIENTS} guests`,
      ours: rate,
      peer: null,
      ratio: null,
      target: `ours >= ${RATE}`,
      unit: "/s",
      met: rate >= RATE,
      note: "the guests run on the same cores; the Rust broker is missing",
    },
    bound("rows of sessions after their end", "rows", left, 0),
  ];
}

async function agentCalls(pin: readonly string[]): Promise<BenchRow[]> {
  await using broker = await Child.start(script("attest-broker.ts"), true);
  const folder = mkdtempSync(join(tmpdir(), "nacre-bench-"));
  try {
    const [config, socket] = [join(folder, "aa.toml"), `unix://${folder}/aa.sock`];
    writeFileSync(config, `[token_configs.kbs]\nurl = "http://127.0.0.1:${broker.said}"\n`);
    const main = new URL("../../packages/attestation-agent/src/main.ts", import.meta.url).pathname;
    const command = [...pin, process.execPath, "--conditions=source", main, "-c", config, "-a", socket];
    await using agent = await Child.start(command, false);
    void agent;
    const { GetEvidence, GetToken } = AttestationAgentService.methods;
    return [
      bound(
        "GetToken of a kept token, over ttRPC",
        "ms",
        await calls(socket, GetToken, { TokenType: "kbs" }),
        TOKEN_MS,
      ),
      bound(
        "GetEvidence of a sample, over ttRPC",
        "ms",
        await calls(socket, GetEvidence, { RuntimeData: Buffer.alloc(48) }),
        EVIDENCE_MS,
      ),
    ];
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** The median of one call after the other, in milliseconds. */
async function calls<Req, Res>(
  socket: string,
  method: MethodDescriptor<Req, Res>,
  request: Init<Req>,
): Promise<number> {
  const client = new TtrpcClient(await dial(socket, { timeoutMs: 10_000 }));
  try {
    for (let i = 0; i < CALLS; i++) await client.call(method, request, {});
    const times: number[] = [];
    for (let i = 0; i < CALLS; i++) {
      const start = performance.now();
      await client.call(method, request, {});
      times.push(performance.now() - start);
    }
    return median(times);
  } finally {
    client.close();
  }
}

async function client(
  pin: readonly string[],
  port: string,
  clients: number,
): Promise<{ readonly median: number; readonly rate: number }> {
  const [file = "", ...args]: readonly string[] = [
    ...pin,
    ...script("attest-client.ts"),
    port,
    String(clients),
    String(SECONDS),
  ];
  const { stdout } = await run(file, args);
  return JSON.parse(stdout) as { median: number; rate: number };
}

function script(name: string): readonly string[] {
  return [process.execPath, "--conditions=source", join(import.meta.dirname, name)];
}

function bound(name: string, unit: string, ours: number, most: number): BenchRow {
  return { name, ours, peer: null, ratio: null, target: `ours <= ${most}`, unit, met: ours <= most };
}
