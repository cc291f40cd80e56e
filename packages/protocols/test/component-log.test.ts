import { expect, it } from "vitest";

import { componentLog } from "../src/index.ts";

const logged = (text: string): string[] => {
  const lines: string[] = [];
  const log = componentLog("a-component", "info", (line) => void lines.push(line));
  log("debug", "not this");
  log("error", text);
  return lines;
};

it.each([
  ["a\nb\u001b[0m", "a\\nb\\u001b[0m"],
  ["a\u2028b\rc", "a\\u2028b\\u000dc"],
  ["x".repeat(5000), "x".repeat(4096)],
])("a record of %j is one line of bounded length that steers no terminal", (text, told) => {
  const [line = "", ...more] = logged(text);
  expect(more).toEqual([]);
  expect(line).toMatch(/^\[\d{4}-\d\d-\d\dT[\d:.]+Z ERROR a-component\] /u);
  expect(line.slice(line.indexOf("] ") + 2)).toBe(`${told}\n`);
});
