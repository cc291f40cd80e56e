import { type ChildProcessByStdio, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface, type Interface } from "node:readline";
import type { Readable, Writable } from "node:stream";
import { fileURLToPath } from "node:url";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

import { PolicyEngine } from "@nacre/agent-policy";

import { benchedPolicy, type Question } from "./policy-pod.ts";
import { cargoPeer } from "../setup/cargo.ts";
import { type BenchRow, median, ratioRow } from "./row.ts";

/** Decisions of each side; they take turns one by one, so that a machine that slows down slows both. */
const DECISIONS = 300;
const LOADS = 15;
const MANY = 10_000;
const wasm = readFileSync(fileURLToPath(import.meta.resolve("regorus-wasm/regorus.wasm")));

/** Decisions of the policy engine beside those of the native crate, as Kata's agent uses it. */
export async function benchPolicy(): Promise<BenchRow[]> {
  const { policy, before, state, create, start } = await benchedPolicy();
  const size = `${kilobytes(policy)} policy, ${kilobytes(create.input)} request`;
  const first = await firstDecision(policy, before[0] as Question);
  const engine = await engineWith(policy);
  for (const question of before) await decide(engine, question);
  const peer = NativePeer.start(policy, state, [create, start]);
  try {
    const creates = await turns(engine, create, peer, 0);
    const starts = await turns(engine, start, peer, 1);
    const loads = await loadTurns(policy, peer);
    const note = `${size}; ${DECISIONS} decisions of each, in turns`;
    return [
      ratioRow("policy decision, CreateContainer, p50", "ms", at(creates, 0.5), { atMost: 0.25 }, note),
      ratioRow("policy decision, CreateContainer, p99", "ms", at(creates, 0.99), { atMost: 0.5 }),
      bound("policy decision, StartContainer, p50", "ms", at(starts, 0.5), 0.15),
      bound("first policy decision after the policy's load", "ms", { ours: first, peer: null }, 15),
      ratioRow("policy load, p50", "ms", at(loads.figures, 0.5), { atMost: 2 }, kilobytes(policy)),
      bound("longest hold of the event loop by a policy load", "ms", { ours: median(loads.holds), peer: null }, 10),
      await memoryLeft(engine, create),
    ];
  } finally {
    await peer?.end();
  }
}

interface Taken {
  readonly ours: number[];
  readonly peer: number[];
}

async function turns(
  engine: PolicyEngine,
  question: Question,
  peer: NativePeer | undefined,
  n: number,
): Promise<Taken> {
  const taken: Taken = { ours: [], peer: [] };
  // The first fifth warms both up.
  for (let i = -DECISIONS / 5; i < DECISIONS; i += 1) {
    const begin = performance.now();
    await decide(engine, question);
    const ours = performance.now() - begin;
    if (question.whose.creates === true) await engine.forget(question.whose.container ?? "");
    const theirs = await peer?.decide(n);
    if (i < 0) continue;
    taken.ours.push(ours);
    if (theirs !== undefined) taken.peer.push(theirs);
  }
  return taken;
}

async function decide(engine: PolicyEngine, { rule, input, whose }: Question): Promise<void> {
  const { allowed, prints } = await engine.check(rule, input, whose);
  if (!allowed) throw new Error(`expected ${rule} to be allowed, got ${prints.join(" ")}`);
}

async function engineWith(policy: string): Promise<PolicyEngine> {
  const engine = await PolicyEngine.create({ loadWasm: async () => wasm });
  await engine.setPolicy(policy);
  return engine;
}

/** The first request may come the moment that the policy is in force. */
async function firstDecision(policy: string, question: Question): Promise<number> {
  const engine = await engineWith(policy);
  await engine.warmUp();
  const begin = performance.now();
  await decide(engine, question);
  return performance.now() - begin;
}

async function loadTurns(
  policy: string,
  peer: NativePeer | undefined,
): Promise<{ readonly figures: Taken; readonly holds: number[] }> {
  const figures: Taken = { ours: [], peer: [] };
  const holds: number[] = [];
  const engine = await engineWith(policy);
  for (let i = 0; i < LOADS; i += 1) {
    // What the last one left to be done is done first.
    await engine.warmUp();
    const begin = performance.now();
    const watch = watchLoop();
    await engine.setPolicy(policy);
    figures.ours.push(performance.now() - begin);
    await engine.warmUp();
    await nextTurn();
    holds.push(watch());
    const theirs = await peer?.load();
    if (theirs !== undefined) figures.peer.push(theirs);
  }
  return { figures, holds };
}

/** The longest time between two turns of the event loop until the result is called for, in milliseconds. */
function watchLoop(): () => number {
  let last = performance.now();
  let longest = 0;
  let ends = false;
  const tick = (): void => {
    const now = performance.now();
    longest = Math.max(longest, now - last);
    last = now;
    if (!ends) setImmediate(tick);
  };
  tick();
  return () => {
    ends = true;
    return longest;
  };
}

/** A full collection; node has it behind a flag. */
const collect: () => void = ((): (() => void) => {
  setFlagsFromString("--expose-gc");
  return runInNewContext("gc") as () => void;
})();

function nextTurn(): Promise<void> {
  return new Promise((resolve) => void setImmediate(resolve));
}

async function memoryLeft(engine: PolicyEngine, question: Question): Promise<BenchRow> {
  const some = async (count: number): Promise<number> => {
    for (let i = 0; i < count; i += 1) {
      await decide(engine, question);
      await engine.forget(question.whose.container ?? "");
    }
    collect();
    const { heapUsed, external } = process.memoryUsage();
    return (heapUsed + external) / 2 ** 20;
  };
  const before = await some(MANY / 10);
  const left = (await some(MANY)) - before;
  const note = "JavaScript's heap and the module's memory together";
  return { ...bound(`memory left by ${MANY} policy decisions`, "MiB", { ours: left, peer: null }, 1), note };
}

function bound(
  name: string,
  unit: string,
  { ours, peer }: { readonly ours: number; readonly peer: number | null },
  atMost: number,
): BenchRow {
  return {
    name,
    unit,
    ours,
    peer,
    ratio: peer === null ? null : ours / peer,
    target: `ours <= ${atMost}`,
    met: ours <= atMost,
  };
}

function at({ ours, peer }: Taken, share: number): { readonly ours: number; readonly peer: number | null } {
  const of = (figures: readonly number[]): number =>
    figures.toSorted((a, b) => a - b)[Math.ceil(figures.length * share) - 1] ?? NaN;
  return { ours: of(ours), peer: peer.length === 0 ? null : of(peer) };
}

function kilobytes(text: string): string {
  return `${(Buffer.byteLength(text) / 1000).toFixed(1)} KB`;
}

/** regorus, native, in a process of its own. */
class NativePeer {
  readonly #child: ChildProcessByStdio<Writable, Readable, null>;
  readonly #answers: AsyncIterator<string>;
  readonly #lines: Interface;
  readonly #folder: string;

  private constructor(child: ChildProcessByStdio<Writable, Readable, null>, folder: string) {
    this.#child = child;
    this.#folder = folder;
    this.#lines = createInterface(child.stdout);
    this.#answers = this.#lines[Symbol.asyncIterator]();
  }

  static start(policy: string, data: string, questions: readonly Question[]): NativePeer | undefined {
    const program = cargoPeer("test/bench/policy-peer", "policy-peer");
    if (program === undefined) return undefined;
    const folder = mkdtempSync(join(tmpdir(), "nacre-bench-"));
    const requests = questions.map(({ rule, input }) => `${rule} ${input}\n`).join("");
    const files = { "policy.rego": policy, "data.json": data, requests };
    for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);
    const paths = Object.keys(files).map((name) => join(folder, name));
    // A backtrace for each error that regorus makes and drops would slow it down.
    const env = { ...process.env, RUST_BACKTRACE: "0" };
    return new NativePeer(spawn(program, paths, { stdio: ["pipe", "pipe", "inherit"], env }), folder);
  }

  /** Milliseconds of a decision that must be a yes. */
  async decide(question: number): Promise<number> {
    const answer = await this.#ask(String(question));
    if (!/ (?:true|\{.*"allowed":true.*\})$/u.test(answer)) throw new Error(`expected a yes, got ${answer}`);
    return Number.parseInt(answer, 10) / 1e6;
  }

  async load(): Promise<number> {
    return Number.parseInt(await this.#ask("load"), 10) / 1e6;
  }

  async #ask(line: string): Promise<string> {
    this.#child.stdin.write(`${line}\n`);
    const { value, done } = await this.#answers.next();
    if (done === true) throw new Error("expected an answer of the native engine, got its end");
    return value;
  }

  async end(): Promise<void> {
    const ended = new Promise((resolve) => this.#child.once("exit", resolve));
    this.#child.stdin.end();
    await ended;
    rmSync(this.#folder, { recursive: true });
  }
}
