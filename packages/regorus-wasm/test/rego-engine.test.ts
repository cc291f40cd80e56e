import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { compileRegorus, RegoEngine, type RegoEngineOptions, RegoError } from "../src/index.ts";

const module = await compileRegorus(readFileSync(join(import.meta.dirname, "../regorus.wasm")));
const monotonicMs = (): number => performance.now();

async function engineWith(rego: string, options: Partial<RegoEngineOptions> = {}): Promise<RegoEngine> {
  const engine = await RegoEngine.create(module, { monotonicMs, ...options });
  await engine.addPolicy("agent_policy", rego);
  await engine.setData('{"pstate":{}}');
  return engine;
}
async function failure(work: Promise<unknown>): Promise<RegoError> {
  try {
    await work;
  } catch (error) {
    if (error instanceof RegoError) return error;
    throw error;
  }
  throw new Error("expected a RegoError");
}

/** Each value holds the one before it twice: a few lines, and comparing two of them takes 2^60 steps in one call. */
const doubled = (name: string): string =>
  Array.from({ length: 60 }, (_, i) => `${name}${i + 1} := [${name}${i}, ${name}${i}]`).join("\n  ");
const COMPARE = `Compare if {\n  a0 := [input.x]\n  b0 := [input.x]\n  ${doubled("a")}\n  ${doubled("b")}\n  a60 == b60\n}\n`;
const LOOPS = "Loops if { some i in numbers.range(1, 9000); some j in numbers.range(1, 9000); i * j == -1 }\n";

describe("RegoEngine", () => {
  it("tells undefined from false", async () => {
    const engine = await engineWith("package agent_policy\ndefault No := false\nMaybe if input.a\n");
    expect((await engine.evaluate("data.agent_policy.No", "{}")).value).toBe("false");
    expect((await engine.evaluate("data.agent_policy.Maybe", "{}")).value).toBeUndefined();
    expect((await engine.evaluate("data.agent_policy.Maybe", '{"a":true}')).value).toBe("true");
    expect((await engine.evaluate("data.agent_policy.Nowhere", "{}")).value).toBeUndefined();
  });

  it("gathers prints with their positions, also those of a rule that comes to nothing", async () => {
    const engine = await engineWith('package agent_policy\nA if { print("saw", input.x, input.none); false }\n');
    expect((await engine.evaluate("data.agent_policy.A", '{"x":"\\"],\\"value\\":1"}')).prints).toEqual([
      'agent_policy:2: saw "],"value":1 <undefined>',
    ]);
    expect((await engine.evaluate("data.agent_policy.A", '{"x":1}')).prints).toEqual([
      "agent_policy:2: saw 1 <undefined>",
    ]);
  });

  it("keeps 64-bit integers and compares them exactly", async () => {
    const engine = await engineWith("package agent_policy\nA := input.n\nB if input.n == 9007199254740993\n");
    const value = async (rule: string, n: string): Promise<string | undefined> =>
      (await engine.evaluate(`data.agent_policy.${rule}`, `{"n":${n}}`)).value;
    expect(await value("A", "18446744073709551615")).toBe("18446744073709551615");
    expect(await value("B", "9007199254740993")).toBe("true");
    expect(await value("B", "9007199254740992")).toBeUndefined();
  });

  it("knows Unicode classes in regular expressions", async () => {
    const engine = await engineWith("package agent_policy\nA if regex.match(`^\\d+\\w$`, input)\n");
    expect((await engine.evaluate("data.agent_policy.A", '"12é"')).value).toBe("true");
  });

  it("parses v1 by default and v0 on request", async () => {
    const v0 = "package agent_policy\nA { input.x }\n";
    expect((await failure(engineWith(v0))).message).toContain("`if` keyword is required before rule body");
    const engine = await engineWith(v0, { regoV0: true });
    expect((await engine.evaluate("data.agent_policy.A", '{"x":true}')).value).toBe("true");
  });

  it("says where a policy does not parse", async () => {
    expect((await failure(engineWith("package agent_policy\ndefault X := \n"))).message).toBe(
      "\n--> agent_policy:3:1\n  |\n3 | \n  | ^\nerror: expecting expression",
    );
  });

  it.each(['http.send({"method":"get","url":"http://x"})', "time.now_ns()", 'rand.intn("a",5)', "opa.runtime()"])(
    "has no builtin that reaches outside or draws random numbers: %s",
    async (call) => {
      const engine = await engineWith(`package agent_policy\nA := ${call}\n`);
      const error = await failure(engine.evaluate("data.agent_policy.A", "{}"));
      expect(error.message).toContain("could not find function");
    },
  );

  it("ends an evaluation that runs away, and goes on", async () => {
    // A millisecond at each look: the machine may stop this process for longer than an evaluation may take.
    let now = 0;
    const options = { monotonicMs: () => (now += 1), limitMs: 30 };
    const engine = await engineWith(`package agent_policy\n${LOOPS}B := 1\n`, options);
    expect(await failure(engine.evaluate("data.agent_policy.Loops", "{}"))).toMatchObject({
      code: "timeout",
      message: expect.stringContaining("execution exceeded time limit") as string,
    });
    expect((await engine.evaluate("data.agent_policy.B", "{}")).value).toBe("1");
  });

  it("ends one step that its own timer does not see, at the cost of the instance", async () => {
    const engine = await engineWith(`package agent_policy\n${COMPARE}B := 1\n`, { deadlineMs: 300 });
    const error = await failure(engine.evaluate("data.agent_policy.Compare", '{"x":1}'));
    expect(error).toMatchObject({
      code: "poisoned",
      message: "the policy engine's instance ended: the call took longer than 300 ms",
    });
    expect(engine.poisoned).toBe(true);
  });

  it("asks the clock that it was given", async () => {
    let now = 0;
    const engine = await RegoEngine.create(module, { monotonicMs: () => (now += 1000), limitMs: 1500, turn: noTurn });
    await engine.addPolicy("p", "package agent_policy\nA if { some i in numbers.range(1, 5000); i == -1 }\n");
    expect((await failure(engine.evaluate("data.agent_policy.A", "{}"))).message).toContain("time limit");
  });

  it("lets others have their turn, which does not count as its own time", async () => {
    // The others take longer than the call may.
    let [turns, now] = [0, 0];
    const turn = async (): Promise<void> => {
      turns += 1;
      now += 10_000;
      await new Promise((resolve) => setImmediate(resolve));
    };
    const rules = "package agent_policy\nA if { some i in numbers.range(1, 30000); i == -1 }\nB := 1\n";
    const bounds = { sliceMs: 1, turn, limitMs: 2_000, deadlineMs: 2_000 };
    const engine = await engineWith(rules, { ...bounds, monotonicMs: () => (now += 0.1) });
    const before = turns;
    const evaluation = engine.evaluate("data.agent_policy.A", "{}");
    expect((await failure(engine.evaluate("data.agent_policy.B", "{}"))).message).toContain("the call before");
    expect((await evaluation).value).toBeUndefined();
    expect(turns).toBeGreaterThan(before);
    expect((await engine.evaluate("data.agent_policy.B", "{}")).value).toBe("1");
  });

  it("lets others have their turn between calls that follow on each other, too", async () => {
    let [turns, now] = [0, 0];
    const turn = async (): Promise<void> => {
      turns += 1;
      await new Promise((resolve) => setImmediate(resolve));
    };
    const bounds = { sliceMs: 5, turn, monotonicMs: () => (now += 0.01) };
    const engine = await engineWith("package agent_policy\nA := 1\n", bounds);
    await engine.evaluate("data.agent_policy.A", "{}");
    const [before, since] = [turns, now];
    // None of them takes as long as a slice.
    for (let i = 0; i < 500; i += 1) {
      const begun = now;
      await engine.evaluate("data.agent_policy.A", "{}");
      expect(now - begun).toBeLessThan(5);
    }
    const slices = (now - since) / bounds.sliceMs;
    expect(slices).toBeGreaterThan(3);
    expect(turns - before).toBeGreaterThan(slices / 2);
  });

  it("is poisoned by a trap, and only that instance", async () => {
    const hog =
      'package agent_policy\nA := concat("", [s | some i in numbers.range(1, 4000); s := concat("", [input.s, input.s])])\nB := 1\n';
    const engine = await engineWith(hog);
    const big = JSON.stringify({ s: "x".repeat(1 << 20) });
    expect((await failure(engine.evaluate("data.agent_policy.A", big))).code).toBe("poisoned");
    expect(engine.poisoned).toBe(true);
    expect((await failure(engine.evaluate("data.agent_policy.B", "{}"))).code).toBe("poisoned");
    const other = await engineWith(hog);
    expect((await other.evaluate("data.agent_policy.B", "{}")).value).toBe("1");
  });

  it("answers nothing after it was disposed of", async () => {
    const engine = await engineWith("package agent_policy\nA := 1\n");
    engine[Symbol.dispose]();
    engine[Symbol.dispose]();
    expect((await failure(engine.evaluate("data.agent_policy.A", "{}"))).code).toBe("module");
    expect(engine.poisoned).toBe(false);
  });

  it("refuses a module that is not this one", async () => {
    const empty = await compileRegorus(Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0));
    expect(await failure(RegoEngine.create(empty, { monotonicMs }))).toMatchObject({
      code: "module",
      message: "expected the regorus module to export alloc",
    });
  });

  it("can call nothing but the clock and the question whether it may go on", () => {
    const { WebAssembly } = globalThis as unknown as {
      WebAssembly: { Module: { imports(module: object): { module: string; name: string; kind: string }[] } };
    };
    expect(WebAssembly.Module.imports(module)).toEqual(
      expect.arrayContaining([
        { module: "host", name: "monotonic_ms", kind: "function" },
        { module: "host", name: "pause", kind: "function" },
      ]),
    );
    expect(WebAssembly.Module.imports(module)).toHaveLength(2);
  });

  it("leaves no memory behind in 1,000 evaluations", async () => {
    const engine = await engineWith(
      'package agent_policy\nA if { some m in input.m; print(m); regex.match("^x[0-9]+$", m) }\n',
    );
    const input = JSON.stringify({ m: Array.from({ length: 5 }, (_, i) => `y${i}`) });
    for (let i = 0; i < 100; i += 1) await engine.evaluate("data.agent_policy.A", input);
    const before = engine.memoryBytes;
    for (let i = 0; i < 1_000; i += 1) await engine.evaluate("data.agent_policy.A", input);
    expect(engine.memoryBytes).toBe(before);
  });

  it.each([
    ["[", "]"],
    ['{"a":', "}"],
  ])("stands nesting of %s in an input, and refuses it", async (open, close) => {
    const engine = await engineWith("package agent_policy\nA := input\nB := 1\n");
    const nested = `${open.repeat(200_000)}1${close.repeat(200_000)}`;
    expect(await failure(engine.evaluate("data.agent_policy.A", nested))).toMatchObject({
      code: "rego",
      message: expect.stringContaining("recursion limit exceeded") as string,
    });
    expect((await engine.evaluate("data.agent_policy.B", "{}")).value).toBe("1");
  });
});

function noTurn(): Promise<void> {
  return Promise.resolve();
}
