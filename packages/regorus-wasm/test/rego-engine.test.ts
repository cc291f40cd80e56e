import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { compileRegorus, RegoEngine, RegoError } from "../src/index.ts";

const module = await compileRegorus(readFileSync(join(import.meta.dirname, "../regorus.wasm")));
const monotonicMs = (): number => performance.now();

function engineWith(rego: string, options: { regoV0?: boolean; limitMs?: number } = {}): RegoEngine {
  const engine = new RegoEngine(module, { monotonicMs, ...options });
  engine.addPolicy("agent_policy", rego);
  engine.setData('{"pstate":{}}');
  return engine;
}
function failure(work: () => unknown): RegoError {
  try {
    work();
  } catch (error) {
    if (error instanceof RegoError) return error;
    throw error;
  }
  throw new Error("expected a RegoError");
}

describe("RegoEngine", () => {
  it("tells undefined from false", () => {
    const engine = engineWith("package agent_policy\ndefault No := false\nMaybe if input.a\n");
    expect(engine.evaluate("data.agent_policy.No", "{}").value).toBe("false");
    expect(engine.evaluate("data.agent_policy.Maybe", "{}").value).toBeUndefined();
    expect(engine.evaluate("data.agent_policy.Maybe", '{"a":true}').value).toBe("true");
    expect(engine.evaluate("data.agent_policy.Nowhere", "{}").value).toBeUndefined();
  });

  it("gathers prints with their positions, also those of a rule that comes to nothing", () => {
    const engine = engineWith('package agent_policy\nA if { print("saw", input.x, input.none); false }\n');
    expect(engine.evaluate("data.agent_policy.A", '{"x":"\\"],\\"value\\":1"}').prints).toEqual([
      'agent_policy:2: saw "],"value":1 <undefined>',
    ]);
    expect(engine.evaluate("data.agent_policy.A", '{"x":1}').prints).toEqual(["agent_policy:2: saw 1 <undefined>"]);
  });

  it("keeps 64-bit integers and compares them exactly", () => {
    const engine = engineWith("package agent_policy\nA := input.n\nB if input.n == 9007199254740993\n");
    expect(engine.evaluate("data.agent_policy.A", '{"n":18446744073709551615}').value).toBe("18446744073709551615");
    expect(engine.evaluate("data.agent_policy.B", '{"n":9007199254740993}').value).toBe("true");
    expect(engine.evaluate("data.agent_policy.B", '{"n":9007199254740992}').value).toBeUndefined();
  });

  it("knows Unicode classes in regular expressions", () => {
    const engine = engineWith("package agent_policy\nA if regex.match(`^\\d+\\w$`, input)\n");
    expect(engine.evaluate("data.agent_policy.A", '"12é"').value).toBe("true");
  });

  it("parses v1 by default and v0 on request", () => {
    const v0 = "package agent_policy\nA { input.x }\n";
    expect(failure(() => engineWith(v0)).message).toContain("`if` keyword is required before rule body");
    expect(engineWith(v0, { regoV0: true }).evaluate("data.agent_policy.A", '{"x":true}').value).toBe("true");
  });

  it("says where a policy does not parse", () => {
    expect(failure(() => engineWith("package agent_policy\ndefault X := \n")).message).toBe(
      "\n--> agent_policy:3:1\n  |\n3 | \n  | ^\nerror: expecting expression",
    );
  });

  it("has no builtin that reaches outside or draws random numbers", () => {
    for (const call of [
      'http.send({"method":"get","url":"http://x"})',
      "time.now_ns()",
      'rand.intn("a",5)',
      "opa.runtime()",
    ]) {
      const engine = engineWith(`package agent_policy\nA := ${call}\n`);
      expect(failure(() => engine.evaluate("data.agent_policy.A", "{}")).message).toContain("could not find function");
    }
  });

  it("ends an evaluation that runs away, and goes on", () => {
    const engine = engineWith(
      "package agent_policy\nA if { some i in numbers.range(1, 9000); some j in numbers.range(1, 9000); i * j == -1 }\nB := 1\n",
      { limitMs: 30 },
    );
    expect(failure(() => engine.evaluate("data.agent_policy.A", "{}"))).toMatchObject({
      code: "timeout",
      message: expect.stringContaining("execution exceeded time limit") as string,
    });
    expect(engine.evaluate("data.agent_policy.B", "{}").value).toBe("1");
  });

  it("asks the clock that it was given", () => {
    let now = 0;
    const engine = new RegoEngine(module, { monotonicMs: () => (now += 1000), limitMs: 1500 });
    engine.addPolicy("p", "package agent_policy\nA if { some i in numbers.range(1, 5000); i == -1 }\n");
    expect(failure(() => engine.evaluate("data.agent_policy.A", "{}")).message).toContain("time limit");
  });

  it("is poisoned by a trap, and only that instance", () => {
    const hog =
      'package agent_policy\nA := concat("", [s | some i in numbers.range(1, 4000); s := concat("", [input.s, input.s])])\nB := 1\n';
    const engine = engineWith(hog);
    const big = JSON.stringify({ s: "x".repeat(1 << 20) });
    expect(failure(() => engine.evaluate("data.agent_policy.A", big)).code).toBe("poisoned");
    expect(engine.poisoned).toBe(true);
    expect(failure(() => engine.evaluate("data.agent_policy.B", "{}")).code).toBe("poisoned");
    expect(engineWith(hog).evaluate("data.agent_policy.B", "{}").value).toBe("1");
  });

  it("is poisoned when a call is ended from outside", () => {
    const ended = new Error("ended");
    let calls = 0;
    const engine = new RegoEngine(module, {
      monotonicMs,
      deadline: (work) => {
        calls += 1;
        if (calls === 2) throw ended;
        return work();
      },
    });
    engine.addPolicy("p", "package agent_policy\nA := 1\n");
    expect(failure(() => engine.evaluate("data.agent_policy.A", "{}"))).toMatchObject({
      code: "poisoned",
      cause: ended,
    });
    expect(engine.poisoned).toBe(true);
  });

  it("answers nothing after it was disposed of", () => {
    const engine = engineWith("package agent_policy\nA := 1\n");
    engine[Symbol.dispose]();
    engine[Symbol.dispose]();
    expect(failure(() => engine.evaluate("data.agent_policy.A", "{}")).code).toBe("module");
    expect(engine.poisoned).toBe(false);
  });

  it("refuses a module that is not this one", async () => {
    const empty = await compileRegorus(Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0));
    expect(failure(() => new RegoEngine(empty, { monotonicMs }))).toMatchObject({
      code: "module",
      message: "expected the regorus module to export memory",
    });
  });

  it("can call nothing but the clock", () => {
    const { WebAssembly } = globalThis as unknown as {
      WebAssembly: { Module: { imports(module: object): { module: string; name: string; kind: string }[] } };
    };
    expect(WebAssembly.Module.imports(module)).toEqual([{ module: "clock", name: "monotonic_ms", kind: "function" }]);
  });

  it("leaves no memory behind in 1,000 evaluations", () => {
    const engine = engineWith(
      'package agent_policy\nA if { some m in input.m; print(m); regex.match("^x[0-9]+$", m) }\n',
    );
    const input = JSON.stringify({ m: Array.from({ length: 5 }, (_, i) => `y${i}`) });
    for (let i = 0; i < 100; i += 1) engine.evaluate("data.agent_policy.A", input);
    const before = engine.memoryBytes;
    for (let i = 0; i < 1_000; i += 1) engine.evaluate("data.agent_policy.A", input);
    expect(engine.memoryBytes).toBe(before);
  });

  it("stands nesting in an input, and refuses it", () => {
    const engine = engineWith("package agent_policy\nA := input\nB := 1\n");
    for (const [open, close] of [
      ["[", "]"],
      ['{"a":', "}"],
    ] as const) {
      const nested = `${open.repeat(200_000)}1${close.repeat(200_000)}`;
      expect(failure(() => engine.evaluate("data.agent_policy.A", nested))).toMatchObject({
        code: "rego",
        message: expect.stringContaining("recursion limit exceeded") as string,
      });
    }
    expect(engine.evaluate("data.agent_policy.B", "{}").value).toBe("1");
  });
});
