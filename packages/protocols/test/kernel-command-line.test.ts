import { isDeepStrictEqual } from "node:util";
import { describe, expect, it } from "vitest";
import { parseKernelCommandLine } from "../src/index.ts";
import { Random } from "./random.ts";

const CHARACTERS = ['"', "=", " ", "\t", "a", "b", "-", "."];

const pairs = (text: string): (string | undefined)[][] =>
  parseKernelCommandLine(text).parameters.map((p) => (p.value === undefined ? [p.key] : [p.key, p.value]));

describe("parameters", () => {
  it.each([
    ["", []],
    ["  \t\n ", []],
    ["quiet", [["quiet"]]],
    ["a=1 b=2  c\n", [["a", "1"], ["b", "2"], ["c"]]],
    ["a= b", [["a", ""], ["b"]]],
    ["a=b=c", [["a", "b=c"]]],
    ["=x", [["=x"]]],
    ["=x=y", [["=x", "y"]]],
    ["a=1 a=2 a", [["a", "1"], ["a", "2"], ["a"]]],
    ["nb\u00a0space", [["nb"], ["space"]]],
    ["\u2003em", [["\u2003em"]]],
  ])("%j", (text, want) => {
    expect(pairs(text)).toEqual(want);
  });
});

describe("quotes", () => {
  it.each([
    // Around a value, around a whole token.
    ['a="x y" b', [["a", "x y"], ["b"]]],
    ['"a=x y" b', [["a", "x y"], ["b"]]],
    ['"a b"', [["a b"]]],
    ['a="" b', [["a", ""], ["b"]]],
    ['""', [[""]]],
    // A token inside quotes is not a key.
    [
      'dm-mod.create="dm-verity,,,ro,0 1 agent.log=debug" quiet',
      [["dm-mod.create", "dm-verity,,,ro,0 1 agent.log=debug"], ["quiet"]],
    ],
    ['"x agent.log=debug"', [["x agent.log", "debug"]]],
    // Elsewhere they hold white space together and stay.
    ['a=x" "y', [["a", 'x" "y']]],
    ['a"b c"=d', [['a"b c"', "d"]]],
    ['a="x y"z', [["a", 'x y"z']]],
    // Not closed: to the end of the line.
    ['a="x y', [["a", "x y"]]],
    ['"a b', [["a b"]]],
    ['a="', [["a", ""]]],
    ['"', [[""]]],
    // There is no escape.
    ['a="x\\" y"', [["a", "x\\"], ['y"']]],
  ])("%s", (text, want) => {
    expect(pairs(text)).toEqual(want);
  });
});

it("what follows -- is init's", () => {
  const line = parseKernelCommandLine("a=1 -- b=2 -- c");
  expect(line.parameters).toEqual([{ key: "a", value: "1" }]);
  expect(line.initArguments).toEqual([
    { key: "b", value: "2" },
    { key: "--", value: undefined },
    { key: "c", value: undefined },
  ]);
  expect(pairs("--=1 x")).toEqual([["--", "1"], ["x"]]);
});

it("look-ups", () => {
  const line = parseKernelCommandLine("a=1 a=2 flag b= -- a=3");
  expect(line.values("a")).toEqual(["1", "2"]);
  expect(line.last("a")).toBe("2");
  expect(line.last("flag")).toBeUndefined();
  expect(line.has("flag")).toBe(true);
  expect(line.last("b")).toBe("");
  expect(line.has("__proto__")).toBe(false);
  expect(line.values("c")).toEqual([]);
});

describe("any text parses (seeded)", () => {
  /** The kernel's next_arg as its documentation tells it, over characters that are cut out in place. */
  function reference(text: string): (string | undefined)[][] {
    const out: (string | undefined)[][] = [];
    let rest = text.replace(/^[ \t\n]+/, "");
    while (rest !== "") {
      const quoted = rest.startsWith('"');
      const body = quoted ? rest.slice(1) : rest;
      let open = quoted;
      let end = 0;
      while (end < body.length && (open || !/[ \t\n]/.test(body.charAt(end)))) {
        if (body[end] === '"') open = !open;
        end++;
      }
      let token = body.slice(0, end);
      rest = body.slice(end).replace(/^[ \t\n]+/, "");
      const equals = token.indexOf("=", 1);
      if (equals > 0 && token[equals + 1] === '"') {
        const value = token.slice(equals + 2).replace(/"$/, "");
        out.push([token.slice(0, equals), value]);
        continue;
      }
      if (quoted) token = token.replace(/"$/, "");
      out.push(equals > 0 ? [token.slice(0, equals), token.slice(equals + 1)] : [token]);
    }
    return out;
  }

  it("and as the kernel would read it", () => {
    const random = new Random(3);
    const different: string[] = [];
    for (let i = 0; i < 20_000; i++) {
      const text = Array.from({ length: random.below(16) }, () => random.pick(CHARACTERS)).join("");
      const line = parseKernelCommandLine(text);
      const got = [...line.parameters, ...line.initArguments].map((p) =>
        p.value === undefined ? [p.key] : [p.key, p.value],
      );
      const want = reference(text);
      const dashes = want.findIndex((p) => p.length === 1 && p[0] === "--");
      if (dashes >= 0) want.splice(dashes, 1);
      if (!isDeepStrictEqual(got, want)) different.push(text);
    }
    expect(different).toEqual([]);
  });
});
