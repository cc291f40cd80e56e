import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";

import { compileRegorus, RegoEngine } from "../src/index.ts";

const module = await compileRegorus(readFileSync(join(import.meta.dirname, "../regorus.wasm")));

/** The value of `data.t.x` as JSON text; undefined where it is undefined. */
async function value(rego: string, input = "{}", regoV0 = false): Promise<string | undefined> {
  const engine = await RegoEngine.create(module, { monotonicMs: () => performance.now(), regoV0 });
  await engine.addPolicy("t", `package t\n${rego}\n`);
  await engine.setData('{"pstate":{"seen":{"a":1}}}');
  return (await engine.evaluate("data.t.x", input)).value;
}

/** What Rego means by these, by its reference; policies for the agent are made of such pieces. */
describe("Rego v1", () => {
  it.each([
    ["equality of numbers", "x := 1 == 1.0", "true"],
    ["integers beyond 2^53", "x := 9007199254740993 - 1", "9007199254740992"],
    ["the largest unsigned", "x := 18446744073709551615 == 18446744073709551614", "false"],
    ["a default", "default x := 7\nx := 1 if false", "7"],
    ["else", "x := 1 if false\nelse := 2 if true\nelse := 3", "2"],
    ["several bodies", "x if false\nx if true", "true"],
    ["no body that holds", "x if false\nx if null == 1", undefined],
    ["every", "x if every i in [1, 2, 3] { i < 4 }", "true"],
    ["every of nothing", "x if every i in [] { false }", "true"],
    ["some in an object", 'x := [k | some k, v in {"a": 1, "b": 2}; v > 1]', '["b"]'],
    ["membership", 'x if "b" in ["a", "b"]', "true"],
    ["sets", "x := {1, 2, 3} & {2, 3, 4}", "[2,3]"],
    ["a partial set", "y contains i if some i in [3, 1, 3]\nx := y", "[1,3]"],
    ["a partial object", 'y[k] := v if some k, v in {"a": 1}\nx := y', '{"a":1}'],
    ["a function of several bodies", "f(1) := 2\nf(2) := 3\nx := f(1) + f(2)", "5"],
    ["undefined in a function", "f(y) := z if z := y.none\nx := f({})", undefined],
    ["negation of the undefined", "x if not input.none", "true"],
    ["the state", "x if data.pstate.seen.a == 1", "true"],
    ["division by zero", "x := 1 / 0", undefined],
    ["a builtin that fails", 'x := to_number("nope")', undefined],
    ["strings", 'x := concat("-", split(trim_prefix("a/b/c", "a/"), "/"))', '"b-c"'],
    ["replace", 'x := replace("$(x)/$(x)", "$(x)", "1")', '"1/1"'],
    [
      "submatches",
      "x := regex.find_all_string_submatch_n(`(\\w)=(\\d+)`, `a=1 b=22`, -1)",
      '[["a=1","a","1"],["b=22","b","22"]]',
    ],
    ["bits", "x := bits.and(bits.negate(0), 493)", "493"],
    ["base64url", 'x := base64url.encode("\\u00ff?")', '"w78_"'],
    ["base64", 'x := base64.decode("YWJj")', '"abc"'],
    ["substring", 'x := substring("abcdef", 2, 3)', '"cde"'],
    ["object.get", 'x := object.get({"a": {"b": 1}}, ["a", "c"], 5)', "5"],
    ["sprintf", 'x := sprintf("%s-%d", ["a", 1])', '"a-1"'],
    ["array.concat and slice", "x := array.slice(array.concat([1], [2, 3]), 1, 3)", "[2,3]"],
    ["sort and count", "x := [count({1, 1, 2}), sort([3, 1, 2])]", "[2,[1,2,3]]"],
    ["with input", 'y := input.a\nx := z if z := y with input as {"a": 4}', "4"],
    ["raw strings and comments", "x := `a\\n` # a comment", '"a\\\\n"'],
    ["reserved names as keys", 'x := {"__proto__": 1, "constructor": 2}', '{"__proto__":1,"constructor":2}'],
  ])("%s", async (_name, rego, expected) => {
    expect(await value(rego)).toBe(expected);
  });

  it("compares the input with the literal, whatever the number's size or spelling", async () => {
    expect(await value("x if input.n == 100", '{"n":1e2}')).toBe("true");
    expect(await value("x if input.n == -9223372036854775808", '{"n":-9223372036854775808}')).toBe("true");
    expect(await value("x if input.n == 9223372036854775807", '{"n":9223372036854775806}')).toBeUndefined();
  });
});

describe("Rego v0", () => {
  it.each([
    ["a body without if", "x { input.a == 1 }", "true"],
    ["a default with =", "default x = false\nx = true { input.a == 2 }", "false"],
    ["a partial set", "y[i] { i := [1, 2][_] }\nx = y", "[1,2]"],
    ["future keywords", "import future.keywords.in\nx { 1 in [1] }", "true"],
    ["future every", "import future.keywords.every\nx { every i in [1, 2] { i > 0 } }", "true"],
  ])("%s", async (_name, rego, expected) => {
    expect(await value(rego, '{"a":1}', true)).toBe(expected);
  });
});
