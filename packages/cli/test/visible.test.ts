import { expect, it } from "vitest";

import { visible, visibleJson, visibleLine } from "../src/visible.ts";

it.each([
  ["plain\ttext\n", "plain\ttext\n"],
  ["\u001b[2J\u001b]0;title\u0007", "\\x1b[2J\\x1b]0;title\\x07"],
  ["a\rb\u0008c\u007f\0", "a\\x0db\\x08c\\x7f\\x00"],
  ["a serial line\r\nand\r\r\n", "a serial line\nand\n"],
  ["\u009b31m", "\\x9b31m"],
  ["\u202etxt.exe", "\\u{202e}txt.exe"],
  ["a\u2028b\ufeff", "a\\u{2028}b\\u{feff}"],
  ["zażółć 日本", "zażółć 日本"],
])("%j is shown as %j", (text, shown) => expect(visible(text)).toBe(shown));

it("visibleLine has no second line", () => expect(visibleLine("a\nb\tc")).toBe("a\\nb c"));

it("visibleJson says the same without what steers", () => {
  const value = { "a\u009b31m\u202e": "\u{e0001}\u2028 zażółć\n" };
  const json = visibleJson(JSON.stringify(value));
  expect(json).toBe(String.raw`{"a\u009b31m\u202e":"\udb40\udc01\u2028 zażółć\n"}`);
  expect(JSON.parse(json)).toEqual(value);
});
