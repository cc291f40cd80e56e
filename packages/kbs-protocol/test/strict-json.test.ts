import { describe, expect, it } from "vitest";

import { parseStrictJson } from "../src/index.ts";
import { generator } from "./random.ts";

describe("JSON of a peer", () => {
  it("keeps integers", () => {
    expect(parseStrictJson('{"a":18446744073709551615,"b":[1,-2]}', "x")).toEqual({
      a: 18_446_744_073_709_551_615n,
      b: [1, -2],
    });
  });

  it.each([
    ['{"a":1,"a":1}'],
    [String.raw`{"a":1,"\u0061":2}`],
    ['[{"x":{"b":1, "c":2 ,"b" : 3}}]'],
    [String.raw`{"\"":1,"b":"\"","\"":2}`],
  ])("refuses %s, a member twice", (text) => {
    expect(() => parseStrictJson(text, "x")).toThrow("x: expected each member once");
  });

  it.each([['{"a":{"a":1},"b":{"a":"a"}}'], ['["a","a",{"b":"a"}]'], [String.raw`{"a":"\\","b":"{\"a\":1,"}`]])(
    "takes %s",
    (text) => {
      expect(parseStrictJson(text, "x")).toEqual(JSON.parse(text));
    },
  );

  it("says nothing of a text that it refuses", () => {
    expect(() => parseStrictJson('{"secret', "reply")).toThrow(/^reply: expected JSON$/u);
    expect(() => parseStrictJson("[".repeat(65) + "]".repeat(65), "reply")).toThrow(
      "reply: expected at most 64 levels",
    );
  });

  it("agrees with JSON.parse on what it takes", () => {
    const random = generator(7);
    const alphabet = '{}[]":,ab1\\ \n';
    for (let round = 0; round < 20_000; round++) {
      const text = Array.from({ length: 1 + random(12) }, () => alphabet.charAt(random(alphabet.length))).join("");
      let value: unknown;
      try {
        value = parseStrictJson(text, "x");
      } catch {
        continue;
      }
      expect(value).toEqual(JSON.parse(text));
    }
  });
});
