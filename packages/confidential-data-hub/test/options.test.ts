import { describe, expect, it } from "vitest";
import { parseOptions } from "../src/options.ts";

describe("parseOptions", () => {
  it.each([
    [[], { version: false }],
    [["-c", "/a"], { version: false, config: "/a" }],
    [["--config", "/a=b"], { version: false, config: "/a=b" }],
    [["--config=/a=b"], { version: false, config: "/a=b" }],
    [["--version"], { version: true }],
    [["--grpc-address", "127.0.0.1:50000"], { version: false, grpcAddress: "127.0.0.1:50000" }],
  ])("%j", (args, options) => {
    expect(parseOptions(args, "devkit")).toEqual(options);
  });

  it.each([
    [["-c"], "-c needs a value"],
    [["--config="], "--config needs a value"],
    [["--help"], 'unknown option "--help"'],
    [["extra"], 'unknown option "extra"'],
    [["--grpc-address", "127.0.0.1:50000"], "unknown option"],
    [["constructor", "x"], "unknown option"],
  ])("refuses %j", (args, why) => {
    expect(() => parseOptions(args, "kata")).toThrow(why);
  });
});
