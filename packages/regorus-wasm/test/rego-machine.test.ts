import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { compileRegorus, RegoEngine, RegoError, RegoMachine } from "../src/index.ts";
import { RandomPolicy } from "./random-policy.ts";

const module = await compileRegorus(readFileSync(join(import.meta.dirname, "../regorus.wasm")));
const options = { monotonicMs: (): number => performance.now(), limitMs: 5_000 };
const RULE = "data.p.Q";
const STATE = '{"pstate":{"k":{"x":1}}}';

async function interpreterOf(rego: string): Promise<RegoEngine> {
  const engine = await RegoEngine.create(module, options);
  await engine.addPolicy("p", rego);
  await engine.setData(STATE);
  return engine;
}

async function machineOf(program: Uint8Array | undefined): Promise<RegoMachine> {
  const machine = await RegoMachine.create(module, options);
  if (program !== undefined) await machine.addProgram(program);
  await machine.setData(STATE);
  return machine;
}

/** The value as text, `undefined`, or `error`. */
async function outcome(work: Promise<string | undefined>): Promise<string> {
  try {
    return (await work) ?? "undefined";
  } catch (error) {
    if (error instanceof RegoError && error.code === "rego") return "error";
    throw error;
  }
}

async function both(rego: string, input: string): Promise<{ interpreter: string; machine: string }> {
  const interpreter = await interpreterOf(rego);
  const machine = await machineOf(await interpreter.compile([RULE]));
  return {
    interpreter: await outcome(interpreter.evaluate(RULE, input).then(({ value }) => value)),
    machine: await outcome(machine.run(RULE, input)),
  };
}

/** What regorus's machine, as its compiler leaves the program, answers otherwise than its interpreter. */
describe("a program says what the interpreter says", () => {
  const cases: [name: string, rules: string, input: string, expected: string][] = [
    ["what is assigned nothing does not hold", "Q if { x := input.none }", "{}", "false"],
    ["nor in a comprehension", "Q if count([1 | x := input.none]) == 1", "{}", "false"],
    ["nothing is no member", "s contains input.none\nQ if count(s) > 0", "{}", "false"],
    ["nor an element", "Q if count([x | some y in [1, 2]; x := y.none]) > 0", "{}", "false"],
    [
      "input is there behind a loop that ran no time",
      "Q if { every x in [] { x == input.a }; not input.b }",
      '{"b":true}',
      "false",
    ],
    [
      "a condition within a comprehension is not one of the loop around it",
      "Q if { some x in [1]; count([1 | x == 2]) == 0 }",
      "{}",
      "true",
    ],
    ["a comprehension that fails is over", "Q if { some x in {1 | input.none} }", "{}", "false"],
    [
      "a body whose loop comes to nothing is no reason against else",
      "f(x) := 1 if { some y in x; y > 5 } else := 2\nQ if f([1]) == 2",
      "{}",
      "true",
    ],
    ["every over nothing defined fails", "Q if every x in input.none { x }", "{}", "false"],
    ["every over what is empty holds", "Q if every x in [] { x }", "{}", "true"],
    [
      "a variable of every is an index",
      "Q if every i, x in input.a { input.b[i] == x }",
      '{"a":[1,2],"b":[1,3]}',
      "false",
    ],
    [
      "and holds where it does",
      "Q if every k, v in input.a { input.b[k] == v }",
      '{"a":{"x":1},"b":{"x":1,"y":2}}',
      "true",
    ],
    ["state", "Q if data.pstate.k.x == 1", "{}", "true"],
    ["several definitions with the same value", "f(x) := x if x > 1\nf(x) := x if x > 2\nQ if f(3) == 3", "{}", "true"],
    [
      "the first of several that holds",
      "f(x) := 1 if x == 1\nf(x) := 2 if x == 2\nf(x) := 3 if x == 3\nQ if f(3) == 3",
      "{}",
      "true",
    ],
    [
      "prints in the way",
      'Q if { print("a", input.a, count(input.list)); input.a == 1; print(input.none.x) }',
      '{"a":1}',
      "true",
    ],
    [
      "state operations",
      'Q := {"allowed": true, "ops": [{"op": "add", "path": "/pstate/a", "value": i}]} if some i, c in input.list',
      '{"list":["x"]}',
      '{"allowed":true,"ops":[{"op":"add","path":"/pstate/a","value":0}]}',
    ],
    ["the difference of two sets", "Q := {1, 2} - {2, 3} if true", "{}", "[1]"],
    ["what is in one list and not in another", "Q if {x | some x in input.a} - {1} == {2}", '{"a":[1,2]}', "true"],
    [
      "a comprehension and an operation of sets in one body",
      "Q if {\n  a := {x | some x in input.a} | {3}\n  a == {1, 2, 3}\n}",
      '{"a":[1,2]}',
      "true",
    ],
    ["and nothing of nothing", "Q if not {1} - input.none == {1}", "{}", "true"],
    [
      "many definitions",
      Array.from({ length: 12 }, (_, i) => `f(x) := ${i * 2} if x == ${i}`).join("\n") + "\nQ if f(11) == 22",
      "{}",
      "true",
    ],
    [
      "a condition that fails in a comprehension of a loop ends the comprehension, and the loop goes on",
      "Q := q if { q := [s | some x in [1, 2, 3]; s := count({y | some y in [1, 2, 3]; y >= x})] }",
      "{}",
      "[3,2,1]",
    ],
    [
      "an every in an every in a comprehension",
      "Q := q if { q := [x | some x in [1, 2]; every y in input.a { every z in y { z >= x } }] }",
      '{"a":[[1,2],[3],[]]}',
      "[1]",
    ],
    [
      "loops over sets and objects",
      'Q := q if { q := [p | some k, v in {"a": 1, "b": 2}; p := [k, v]] }',
      "{}",
      '[["a",1],["b",2]]',
    ],
    ["numbers", "Q := input.n + 1 if true", '{"n":18446744073709551614}', "18446744073709551615"],
  ];
  it.each(cases)("%s", async (_name, rules, input, expected) => {
    expect(await both(`package p\ndefault Q := false\n${rules}\n`, input)).toEqual({
      interpreter: expected,
      machine: expected,
    });
  });

  const errors: [name: string, rules: string, input: string][] = [
    ["a rule with two values", "Q := x if some x in input.a", '{"a":[1,2]}'],
    ["a rule whose definitions differ", "r := 1 if input.a\nr := 2 if input.b\nQ if not r", '{"a":1,"b":1}'],
    ["a function with two values", "f(x) := y if some y in x\nQ if not f([1, 2])", "{}"],
    ["a function whose definitions differ", "f(x) := 1 if x > 1\nf(x) := 2 if x > 2\nQ if not f(3)", "{}"],
    ["arithmetic on what is no number", "Q if not input.a + 1 == 2", '{"a":"x"}'],
    ["a loop over what is no collection", "Q if count([x | some x in input.a]) == 0", '{"a":"x"}'],
    ["a set of what is none", "Q if not input.a | {1} == {1}", '{"a":"x"}'],
    ["a set less what is none", "Q if not {1} - input.a == {1}", '{"a":1}'],
    ["what is none less a set", "Q if not input.a - {1} == {1}", '{"a":[1]}'],
  ];
  it.each(errors)("or has no answer where the interpreter has an error: %s", async (_name, rules, input) => {
    expect(await both(`package p\ndefault Q := false\n${rules}\n`, input)).toEqual({
      interpreter: "error",
      machine: "error",
    });
  });

  it.each([
    ["with", "Q if input.a == 1 with input as 2", /`with` keyword/u],
    ["an object comprehension", "Q if count({x: 1 | some x in [1]}) == 1", /^an object comprehension$/u],
    ["a partial object", 'r[x] := 1 if some x in ["a"]\nQ if r.a == 1', /^a partial object$/u],
    ["a function's default", "default f(x) := 1\nf(x) := 2 if x\nQ if f(false) == 1", /^a function's default$/u],
    ["an import", "import input.x\nQ if x == 1", /^an import$/u],
    [
      "a default that is no scalar",
      "default r := [1]\nr := [2] if input.a\nQ if r == [1]",
      /^a default that is no scalar$/u,
    ],
    [
      "a declaration within a query",
      "Q if { some x in [1, 2]; some i; input.a[i] == x }",
      /^a declaration within a query$/u,
    ],
    ["a negation beside an index", "Q if every i, x in [1] { not input.a[i] == x }", /^a negation beside/u],
    [
      "a comprehension in a term",
      "Q if count([[y | some y in [x]] | some x in [1]]) == 1",
      /^a comprehension within the term of another$/u,
    ],
    [
      "an index in a term",
      "Q if every x in [1] { count({input.a[x] | some y in [1]}) == 0 }",
      /^an index by a variable of every in a comprehension's term$/u,
    ],
    ["a print that iterates", 'Q if { print("a", input.a[_]); true }', /print/u],
  ])("is not made of %s", async (_name, rules, message) => {
    const engine = await interpreterOf(`package p\n${rules}\n`);
    await expect(engine.compile([RULE])).rejects.toThrow(message);
  });

  it("in 400 random policies", async () => {
    const seen = { compared: 0, unsure: 0 };
    const differences: string[] = [];
    for (let seed = 0; seed < 400; seed += 1) {
      const random = new RandomPolicy(seed);
      const rego = random.policy();
      let interpreter: RegoEngine;
      let machine: RegoMachine;
      try {
        interpreter = await interpreterOf(rego);
        await interpreter.evaluate("true", "{}");
        machine = await machineOf(await interpreter.compile([RULE]));
      } catch (error) {
        // Not every one is a policy, and not every policy has a program.
        if (error instanceof RegoError) continue;
        throw error;
      }
      for (let i = 0; i < 4; i += 1) {
        const input = random.input();
        const fast = await outcome(machine.run(RULE, input));
        if (fast === "error") {
          seen.unsure += 1;
          continue;
        }
        const slow = await outcome(interpreter.evaluate(RULE, input).then(({ value }) => value));
        seen.compared += 1;
        if (slow !== fast) differences.push(`${rego}\n${input}\ninterpreter ${slow}, machine ${fast}`);
      }
    }
    expect(differences).toEqual([]);
    // The generator has to make policies that say something.
    expect(seen.compared).toBeGreaterThan(300);
  }, 120_000);
});

describe("RegoMachine", () => {
  it("ends a rule that runs away, and goes on", async () => {
    const rego =
      "package p\nQ if { some i in numbers.range(1, 9000); some j in numbers.range(1, 9000); i * j == input.x }\n";
    const engine = await interpreterOf(rego);
    const machine = await RegoMachine.create(module, { ...options, limitMs: 50 });
    await machine.addProgram((await engine.compile([RULE])) ?? new Uint8Array());
    await expect(machine.run(RULE, '{"x":-1}')).rejects.toMatchObject({ code: "timeout" });
    expect(await machine.run(RULE, '{"x":1}').catch((error: RegoError) => error.code)).toBe("timeout");
    expect(machine.poisoned).toBe(false);
  });

  it("finds a rule undefined that the policy does not have", async () => {
    const engine = await interpreterOf("package p\nR := 1\n");
    expect(await engine.compile([RULE])).toBeUndefined();
    const machine = await machineOf(await engine.compile([RULE, "data.p.R"]));
    expect(await machine.run(RULE, "{}")).toBeUndefined();
    expect(await machine.run("data.p.R", "{}")).toBe("1");
  });

  it("refuses what is no program, and data that is no object", async () => {
    const machine = await RegoMachine.create(module, options);
    await expect(machine.addProgram(Uint8Array.of(1, 2, 3))).rejects.toMatchObject({ code: "rego" });
    await expect(machine.setData("[]")).rejects.toMatchObject({ message: "data must be object" });
  });

  it("matches patterns as the interpreter does, however many there are", async () => {
    const rego = "package p\nQ := [b | some p in input.patterns; b := [regex.match(p, t) | some t in input.texts]]\n";
    const interpreter = await interpreterOf(rego);
    const machine = await machineOf(await interpreter.compile([RULE]));
    const odd = ["", "^$", "(a|b)*c$", "\\d+", "\\p{Greek}", "(?i)A", "(", "a{3", "[z-a]", "(?=a)", "\\1", "^(a+)+$"];
    const texts = ["", "a", "abc", "17", "\u03b1", "A", `${"a".repeat(40)}!`, "id-7", "id-299"];
    const many = Array.from({ length: 300 }, (_, i) => `^id-${i}$`);
    // Twice: kept the second time, and dropped in between.
    for (const patterns of [odd, many, odd, many]) {
      const input = JSON.stringify({ patterns, texts });
      expect(await machine.run(RULE, input)).toBe((await interpreter.evaluate(RULE, input)).value);
    }
  });

  it("has no answer for a pattern that is too large, as the interpreter has an error", async () => {
    const rego = "package p\ndefault Q := false\nQ if not regex.match(input.p, input.t)\n";
    const input = JSON.stringify({ p: "(?:a{1000}){1000}", t: "a" });
    expect(await both(rego, input)).toEqual({ interpreter: "error", machine: "error" });
    expect(await both(rego, '{"p":1,"t":"a"}')).toEqual({ interpreter: "true", machine: "true" });
  });

  it("leaves no memory behind in 10,000 runs", async () => {
    const engine = await interpreterOf('package p\nQ if { some m in input.m; regex.match("^x[0-9]+$", m) }\n');
    const machine = await machineOf(await engine.compile([RULE]));
    const input = JSON.stringify({ m: Array.from({ length: 5 }, (_, i) => `y${i}`) });
    for (let i = 0; i < 100; i += 1) await machine.run(RULE, input);
    const before = machine.memoryBytes;
    for (let i = 0; i < 10_000; i += 1) await machine.run(RULE, input);
    expect(machine.memoryBytes).toBe(before);
  });
});
