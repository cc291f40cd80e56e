import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { goPeer } from "../setup/go.ts";
import { type BenchRow, ratioRow } from "./row.ts";

/** Rounds of each measurement; the servers take turns, so that a machine that slows down slows both. */
const ROUNDS = 5;
const SECONDS = 0.8;
/** Calls before each measurement: the compiler has seen every path by then. */
const WARMUP = 8000;

interface Figures {
  readonly calls: number;
  readonly per_second: number;
  readonly p50_us: number;
}
type Side = "ours" | "peer";
interface Setup {
  readonly label: string;
  /** Commands before the server and before the client. */
  readonly server: readonly string[];
  readonly client: readonly string[];
}

/** ttRPC round trips of Health.Check: our server against containerd's, driven by the same Go client. */
export async function benchTtrpc(): Promise<BenchRow[]> {
  const rows: BenchRow[] = [];
  for (const setup of setups()) {
    for (const inflight of [16, 1]) rows.push(await compare(setup, inflight));
  }
  return rows;
}

function setups(): Setup[] {
  const free: Setup = { label: "unpinned", server: [], client: [] };
  if (availableParallelism() < 2 || !existsSync("/usr/bin/taskset")) return [free];
  return [{ label: "server on one core", server: ["taskset", "-c", "0"], client: ["taskset", "-c", "1"] }, free];
}

async function compare(setup: Setup, inflight: number): Promise<BenchRow> {
  const dir = mkdtempSync(join(tmpdir(), "nacre-bench-"));
  const addresses = { ours: `unix://${dir}/ours.sock`, peer: `unix://${dir}/peer.sock` };
  const script = join(import.meta.dirname, "ttrpc-server.ts");
  const servers: ChildProcess[] = [];
  const cpu: Record<Side, number> = { ours: 0, peer: 0 };
  const taken: Record<Side, Figures[]> = { ours: [], peer: [] };
  try {
    servers.push(await start([...setup.server, process.execPath, "--conditions=source", script, addresses.ours]));
    servers.push(await start([...setup.server, goPeer(), "bench-server", addresses.peer]));
    for (let round = 0; round < ROUNDS; round++) {
      // Each goes first in turn: whoever follows finds the caches of the other.
      const order: readonly Side[] = round % 2 === 0 ? ["ours", "peer"] : ["peer", "ours"];
      for (const side of order) {
        const pid = (side === "ours" ? servers[0] : servers[1])?.pid ?? 0;
        const before = cpuSeconds(pid);
        const figures = await drive(setup, addresses[side], inflight);
        taken[side].push(figures);
        cpu[side] += ((cpuSeconds(pid) - before) * 1e6) / (figures.calls + WARMUP) / ROUNDS;
      }
    }
  } finally {
    await Promise.all(servers.map(stop));
    rmSync(dir, { recursive: true, force: true });
  }
  const name = `ttRPC Health.Check, ${inflight} in flight, ${setup.label}`;
  // The best round of each: whatever else the machine does only takes away.
  const note = `best of ${ROUNDS}; server's CPU time a call: ours ${cpu.ours.toFixed(1)} µs, peer ${cpu.peer.toFixed(1)} µs`;
  const best = (of: (f: readonly Figures[]) => number): { ours: number; peer: number } => ({
    ours: of(taken.ours),
    peer: of(taken.peer),
  });
  return inflight === 1
    ? ratioRow(
        `${name}, p50`,
        "µs",
        best((f) => Math.min(...f.map((x) => x.p50_us))),
        { atMost: 1 },
        note,
      )
    : ratioRow(
        name,
        "calls/s",
        best((f) => Math.max(...f.map((x) => x.per_second))),
        { atLeast: 1.3 },
        note,
      );
}

async function drive(setup: Setup, address: string, inflight: number): Promise<Figures> {
  const bench = ["bench", address, "--inflight", `${inflight}`, "--seconds", `${SECONDS}`, "--warmup", `${WARMUP}`];
  const [command = "", ...args] = [...setup.client, goPeer(), ...bench];
  const { stdout } = await promisify(execFile)(command, args);
  return JSON.parse(stdout) as Figures;
}

/** User and system time of a process so far: fields 14 and 15 of its stat line, in hundredths of a second. */
function cpuSeconds(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

async function start(argv: readonly string[]): Promise<ChildProcess> {
  const [command = "", ...args] = argv;
  const child = spawn(command, args, { stdio: ["ignore", "pipe", "inherit"] });
  const listening = once(child.stdout, "data");
  const ended = once(child, "close").then(() => Promise.reject(new Error(`${argv.join(" ")} ended`)));
  ended.catch(() => {});
  await Promise.race([listening, ended]);
  return child;
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill("SIGKILL");
  await once(child, "close");
}
