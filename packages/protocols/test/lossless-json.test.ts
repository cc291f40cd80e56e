import { isDeepStrictEqual } from "node:util";
import { describe, expect, it } from "vitest";
import { JsonError, MAX_JSON_DEPTH, parseLossless, stringifyLossless } from "../src/index.ts";
import { Random } from "./random.ts";

function refusal(f: () => unknown): string {
  try {
    f();
  } catch (error) {
    expect(error).toBeInstanceOf(JsonError);
    return `${(error as JsonError).code}: ${(error as JsonError).message}`;
  }
  throw new Error("nothing was refused");
}

type Outcome = "ok" | "syntax" | "range";

/** What JSON.parse makes of a text; a number that it reads as infinite is what ours calls out of range. */
function ordinary(text: string): Outcome {
  try {
    const infinite = JSON.stringify(JSON.parse(text, (_, v: unknown) => (v === Infinity || v === -Infinity ? "∞" : v)));
    return infinite.includes("∞") ? "range" : "ok";
  } catch {
    return "syntax";
  }
}

function ours(text: string): Outcome | "depth" | "field" | "type" {
  try {
    parseLossless(text);
    return "ok";
  } catch (error) {
    if (!(error instanceof JsonError)) throw error;
    return error.code;
  }
}

const nested = (n: number): string => `${"[".repeat(n)}${"]".repeat(n)}`;

/** A random value that JSON can carry without loss. */
function randomValue(r: Random, depth: number): unknown {
  switch (r.below(depth > 0 ? 8 : 6)) {
    case 0:
      return null;
    case 1:
      return r.below(2) === 0;
    case 2:
      return r.pick([0, -0, 1, -1, 0.1, 1e21, 1e-7, 5e-324, 2 ** 53 - 1, 123456789012345.6, -(2 ** 40)]);
    case 3:
      return r.below(1_000_000) - 500_000;
    case 4:
    case 5:
      return r.pick([
        "",
        "a",
        '"',
        "\\",
        '\\"',
        "\u0000\u001f",
        "é",
        "\u{1f600}",
        "\ud800",
        "\u2028",
        "]}",
        "1234567890123456",
      ]);
    case 6:
      return Array.from({ length: r.below(4) }, () => randomValue(r, depth - 1));
    default: {
      const keys = Array.from({ length: r.below(4) }, () =>
        r.pick(["a", "b c", '"', "__proto__", "9", "toString", "é"]),
      );
      return Object.fromEntries(keys.map((k) => [k, randomValue(r, depth - 1)]));
    }
  }
}

describe("ordinary values (seeded)", () => {
  it("parse and print as with JSON", () => {
    const random = new Random(7);
    const different: string[] = [];
    for (let i = 0; i < 3000; i++) {
      const value = randomValue(random, 4);
      const text = JSON.stringify(value);
      const spaced = JSON.stringify(value, undefined, 2);
      const same =
        stringifyLossless(value) === text &&
        isDeepStrictEqual(parseLossless(text), JSON.parse(text)) &&
        isDeepStrictEqual(parseLossless(spaced), JSON.parse(text));
      if (!same) different.push(text);
    }
    expect(different).toEqual([]);
  });

  it("what JSON refuses is refused, what it accepts is accepted", () => {
    const random = new Random(8);
    const parts = [
      '"',
      "\\",
      "{",
      "}",
      "[",
      "]",
      ",",
      ":",
      "1",
      "12345678901234567890",
      "1e999",
      "e",
      "-",
      ".",
      "a",
      "true",
      " ",
      '"x"',
      "null",
    ];
    const seen = { ok: 0, syntax: 0, range: 0 };
    for (let i = 0; i < 2000; i++) {
      const text = Array.from({ length: 1 + random.below(7) }, () => random.pick(parts)).join("");
      const want = ordinary(text);
      const got = ours(text);
      if (got !== want) throw new Error(`${JSON.stringify(text)}: ${got} instead of ${want}`);
      seen[want]++;
    }
    expect(seen.ok).toBeGreaterThan(20);
    expect(seen.range).toBeGreaterThan(0);
  });
});

describe("integers keep their value", () => {
  it.each([
    "9007199254740993",
    "-9007199254740993",
    "18446744073709551615",
    "123456789012345678901234567890",
    '[1,9223372036854775807,{"a":-9223372036854775808}]',
  ])("%s", (text) => {
    expect(stringifyLossless(parseLossless(text))).toBe(text);
  });

  it("become bigints only where a number would not do", () => {
    expect(parseLossless("[9007199254740991,9007199254740992,1234567890123456]")).toEqual([
      9007199254740991,
      9007199254740992n,
      1234567890123456,
    ]);
    expect(parseLossless("[12345678901234567.5,1e3,1E+2,0.1234567890123456789]")).toEqual(
      ["12345678901234567.5", "1e3", "1E+2", "0.1234567890123456789"].map(Number),
    );
  });

  it("are left alone inside strings", () => {
    expect(parseLossless('{"12345678901234567890":"12345678901234567890"}')).toEqual({
      "12345678901234567890": "12345678901234567890",
    });
  });

  it("are exact beside an own __proto__", () => {
    const value = parseLossless('{"__proto__":{"a":12345678901234567890}}') as object;
    expect(Object.keys(value)).toEqual(["__proto__"]);
    expect(stringifyLossless(value)).toBe('{"__proto__":{"a":12345678901234567890}}');
  });
});

describe("refusals", () => {
  it("nesting", () => {
    expect(parseLossless(nested(MAX_JSON_DEPTH))).toEqual(JSON.parse(nested(MAX_JSON_DEPTH)));
    expect(refusal(() => parseLossless(nested(MAX_JSON_DEPTH + 1)))).toBe("depth: JSON nests deeper than 128");
    expect(refusal(() => parseLossless("[".repeat(1_000_000)))).toBe("depth: JSON nests deeper than 128");
    expect(parseLossless(`"${"[".repeat(500)}"`)).toBe("[".repeat(500));
    expect(refusal(() => parseLossless(nested(3), 2))).toBe("depth: JSON nests deeper than 2");
  });

  it("numbers beyond a double", () => {
    expect(refusal(() => parseLossless("[1e400]"))).toBe("range: a number is too large");
    expect(refusal(() => parseLossless("-1E999"))).toBe("range: a number is too large");
    expect(refusal(() => parseLossless("9".repeat(1_000_000)))).toBe("range: a number is too large");
  });

  it("cycles and deep values", () => {
    const cycle: unknown[] = [];
    cycle.push(cycle);
    expect(refusal(() => stringifyLossless(cycle))).toBe("depth: value nests too deep to be JSON");
    expect(stringifyLossless(JSON.parse(nested(MAX_JSON_DEPTH)))).toBe(nested(MAX_JSON_DEPTH));
    expect(refusal(() => stringifyLossless(JSON.parse(nested(MAX_JSON_DEPTH + 1))))).toContain("depth:");
  });
});

it("prints what has no JSON as JSON.stringify does", () => {
  const value = { a: undefined, b: [undefined, NaN, -Infinity], c: () => 1, d: new Date(0) };
  expect(stringifyLossless(value)).toBe(JSON.stringify(value));
  expect(stringifyLossless({ big: 2n ** 64n, list: [1n] })).toBe('{"big":18446744073709551616,"list":[1]}');
});
