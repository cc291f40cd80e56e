import { describe, expect, it } from "vitest";

import { debugQuote } from "../src/debug-quote.ts";

describe("debugQuote", () => {
  it.each([
    ["", '""'],
    ["invalid container id", '"invalid container id"'],
    ['a "b" \\ c', '"a \\"b\\" \\\\ c"'],
    ["tab\tline\nret\rnul\0", '"tab\\tline\\nret\\rnul\\0"'],
    ["\u0007\u001b\u007f", '"\\u{7}\\u{1b}\\u{7f}"'],
    ["it's", '"it\'s"'],
    ["é ü 漢 😀", '"é ü 漢 😀"'],
    ["e\u0301", '"e\\u{301}"'],
    ["\u200b\u2028\u00a0", '"\\u{200b}\\u{2028}\\u{a0}"'],
  ])("%j becomes %s", (text, quoted) => {
    expect(debugQuote(text)).toBe(quoted);
  });
});
