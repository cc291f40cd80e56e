import { AgentService, decode, DecodeError, encode } from "@nacre/protocols";
import { describe, expect, it } from "vitest";

import {
  type Decision,
  PolicyEngine,
  PolicyError,
  type PolicyEngineOptions,
  type PolicyLimits,
  policyInput,
} from "../src/index.ts";
import { engineWith } from "./policy-engine.ts";

const { StartContainer } = AgentService.methods;
const UNDEFINED = "policy check: unexpected eval_query result len QueryResults { result: [] }";

/** How upstream's agent prints a value that is no verdict. */
const outcome = (value: string): string =>
  "policy check: unexpected eval_query result type QueryResults { result: [QueryResult { expressions: " +
  `[Expression { value: ${value}, text: "data.agent_policy.Asked", location: Location { row: 1, col: 1 } }], ` +
  "bindings: Object({}) }] }";

/** A policy with the rules, and one that allows what comes next. A large one is decided by its programs. */
function policyOf(rules: string, large: boolean): string {
  const padding = large ? "# a policy of the size that is compiled\n".repeat(250) : "";
  return `package agent_policy\n${padding}default Next := true\n${rules}\n`;
}

async function answer(work: Promise<Decision>): Promise<object> {
  try {
    return await work;
  } catch (error) {
    if (error instanceof PolicyError) return { code: error.code, message: error.message };
    throw error;
  }
}

describe.each([
  ["interpreted", false],
  ["compiled", true],
])("a policy that is %s", (_how, large) => {
  const engineOf = (
    rules: string,
    limits: Partial<PolicyLimits> = {},
    clock: Pick<PolicyEngineOptions, "monotonicMs"> = {},
  ): Promise<PolicyEngine> => engineWith(policyOf(rules, large), { limits, ...clock });

  it.each<[name: string, rules: string, expected: object]>([
    ["a rule that is not there", "", { code: "evaluation", message: UNDEFINED }],
    ["a rule that is undefined", "Asked if input.none", { code: "evaluation", message: UNDEFINED }],
    ["a rule that says no", "default Asked := false", { allowed: false, prints: [] }],
    ["a number", "Asked := 1", { code: "evaluation", message: outcome("Number(1)") }],
    ["a string", 'Asked := "true"', { code: "evaluation", message: outcome('String("true")') }],
    ["null", "Asked := null", { code: "evaluation", message: outcome("Null") }],
    ["a list", "Asked := [true]", { code: "evaluation", message: outcome("Array([Bool(true)])") }],
    ["a set", "Asked := {true}", { code: "evaluation", message: outcome("Set({Bool(true)})") }],
    ["{allowed} without ops", 'Asked := {"allowed": true}', { allowed: true, prints: [] }],
    ["a no without ops", 'Asked := {"allowed": false}', { allowed: false, prints: [] }],
    ["ops that are null", 'Asked := {"allowed": true, "ops": null}', { allowed: true, prints: [] }],
    [
      "ops without allowed",
      'Asked := {"ops": []}',
      { code: "evaluation", message: "missing field `allowed` at line 1 column 10" },
    ],
    [
      "ops that are none",
      'Asked := {"allowed": true, "ops": [{"op": "grow", "path": "/pstate"}]}',
      {
        code: "evaluation",
        message:
          "unknown variant `grow`, expected one of `add`, `remove`, `replace`, `move`, `copy`, `test` at line 1 column 35",
      },
    ],
    [
      "ops that do not apply",
      'Asked := {"allowed": true, "ops": [{"op": "remove", "path": "/pstate/none"}]}',
      { code: "evaluation", message: "operation '/0' failed at path '/pstate/none': path is invalid" },
    ],
    [
      "a rule with two values",
      "Asked := x if some x in [true, false]",
      { code: "evaluation", message: expect.stringContaining("rules must not produce multiple outputs") },
    ],
    [
      "a builtin that is not there",
      'Asked if http.send({"url": "http://127.0.0.1"})',
      { code: "evaluation", message: expect.stringContaining("could not find function http.send") },
    ],
    ["a builtin that fails", 'Asked if to_number("x") == 1', { code: "evaluation", message: UNDEFINED }],
    ["an invalid pattern", 'Asked if regex.match("(", "x")', { code: "evaluation", message: UNDEFINED }],
    ["a pattern that takes a backtracker ages", 'Asked if regex.match("^(a+)+$", input.a)', { code: "evaluation" }],
  ])("%s", async (_name, rules, expected) => {
    const engine = await engineOf(rules);
    expect(await answer(engine.check("Asked", JSON.stringify({ a: `${"a".repeat(100)}!` })))).toMatchObject(expected);
    expect(await engine.check("Next", "{}")).toEqual({ allowed: true, prints: [] });
  });

  it("a comprehension that takes too long", async () => {
    // A millisecond at each look: the machine may stop this process for longer than an evaluation may take.
    let now = 0;
    const rules =
      "Asked if count([1 | some i in numbers.range(1, 9000); some j in numbers.range(1, 9000); i * j == -1]) == 0";
    const engine = await engineOf(rules, { evaluationMs: 50 }, { monotonicMs: () => (now += 1) });
    expect(await answer(engine.check("Asked", "{}"))).toMatchObject({ code: "timeout" });
    expect(await engine.check("Next", "{}")).toEqual({ allowed: true, prints: [] });
  });

  it("a comprehension that grows too large", async () => {
    const rules = 'Asked if count([s | some i in numbers.range(1, 100000); s := concat("", [input.s, input.s])]) > 0';
    const engine = await engineOf(rules, { evaluationMs: 60_000, deadlineMs: 60_000 });
    const input = JSON.stringify({ s: "x".repeat(1 << 20) });
    expect(await answer(engine.check("Asked", input))).toMatchObject({ code: "trap" });
    expect(await engine.check("Next", "{}")).toEqual({ allowed: true, prints: [] });
  });

  it("functions that call each other a thousand deep", async () => {
    const chain = Array.from({ length: 1000 }, (_, i) => `f${i}(x) := f${i + 1}(x)`).join("\n");
    const engine = await engineOf(`${chain}\nf1000(x) := x\nAsked if f0(input.a)\n`, { deadlineMs: 60_000 });
    const told = await answer(engine.check("Asked", '{"a":true}'));
    // It is decided or it ends the instance, but the process stands.
    expect([{ allowed: true, prints: [] }, expect.objectContaining({ code: "trap" })]).toContainEqual(told);
    expect(await engine.check("Next", "{}")).toEqual({ allowed: true, prints: [] });
  });

  it.each([
    ["recursion", "f(x) := f(x)\nAsked if f(1)"],
    ["recursion of two", "f(x) := g(x)\ng(x) := f(x)\nAsked if f(1)"],
    ["a rule that is its own reason", "Asked if Asked"],
  ])("%s", async (_name, rules) => {
    const engine = await engineWith(policyOf("", large));
    const { digest } = engine;
    try {
      await engine.setPolicy(policyOf(rules, large));
      expect(await answer(engine.check("Asked", "{}"))).toMatchObject({
        code: expect.stringMatching(/^(?:evaluation|timeout|trap)$/u) as string,
      });
    } catch (error) {
      expect(error).toMatchObject({ code: "parse" });
      expect(engine.digest).toBe(digest);
    }
    expect(await engine.check("Next", "{}")).toEqual({ allowed: true, prints: [] });
  });

  it("input that is nested deeper than JSON may be, or is none", async () => {
    const engine = await engineOf("Asked if input.a");
    for (const input of [`{"a":${"[".repeat(200)}${"]".repeat(200)}}`, "{", "", '{"a":1}}', "[]x"]) {
      expect(await answer(engine.check("Asked", input)), input).toMatchObject({ code: "evaluation" });
      expect(await engine.check("Next", "{}")).toEqual({ allowed: true, prints: [] });
    }
  });

  it("fields that no one knows are not seen by the policy", async () => {
    const engine = await engineOf('Asked if object.keys(input) == {"container_id"}');
    const known = encode(StartContainer.requestType, { container_id: "c1" });
    // Field 100 with a varint, a text and a fixed number.
    const unknown = Uint8Array.of(0xa0, 0x06, 0x01, 0xa2, 0x06, 0x01, 0x61, 0xa5, 0x06, 1, 2, 3, 4);
    const request: object = decode(StartContainer.requestType, Buffer.concat([unknown, known, unknown]));
    const input = policyInput(StartContainer, request);
    expect(input).toBe('{"container_id":"c1"}');
    expect((await engine.check("Asked", input)).allowed).toBe(true);
  });

  it("a text that is not UTF-8 does not come as far as the policy", async () => {
    const engine = await engineOf("Asked if input.container_id");
    expect(() => decode(StartContainer.requestType, Uint8Array.of(0x0a, 2, 0xc3, 0x28))).toThrow(DecodeError);
    // Half of a surrogate pair is no text either.
    const half = JSON.stringify({ container_id: "\ud800" });
    expect(await answer(engine.check("Asked", half))).toMatchObject({ code: "evaluation" });
    expect(await engine.check("Next", "{}")).toEqual({ allowed: true, prints: [] });
  });
});
