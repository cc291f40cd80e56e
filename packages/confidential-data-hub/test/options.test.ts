import { describe, expect, it } from "vitest";
import { parseOptions } from "../src/options.ts";

describe("parseOptions", () => {
  it.each([
    [[], { version: false }],
    [["-c", "/a"], { version: false, config: "/a" }],
    [["--config", "/a=b"], { version: false, config: "/a=b" }],
    [["--config=/a=b"], { version: false, config: "/a=b" }],
    [["--version"], { version: true }],
  ])("%j", (args, options) => {
    expect(parseOptions(args)).toEqual(options);
  });

  it.each([
    [["-c"], "-c needs a file"],
    [["--config="], "--config needs a file"],
    [["--help"], 'unknown option "--help"'],
    [["extra"], 'unknown option "extra"'],
  ])("refuses %j", (args, why) => {
    expect(() => parseOptions(args)).toThrow(why);
  });
});
