import { describe, expect, it } from "vitest";
import { parseMemberName, quoteName, systemPath } from "../../src/unpack/member-name.ts";

describe("parseMemberName", () => {
  it.each([
    ["a", { parent: "", base: "a" }],
    ["a/b/c", { parent: "a/b", base: "c" }],
    ["/a//./b/", { parent: "a", base: "b" }],
    ["./", { parent: "", base: "" }],
    ["/", { parent: "", base: "" }],
    ["..a/b..", { parent: "..a", base: "b.." }],
  ])("%j", (name, parsed) => {
    expect(parseMemberName("member", name)).toEqual(parsed);
  });

  it.each(["..", "a/..", "../a", "/..", "a/../b", "a//..//b"])("refuses %j", (name) => {
    expect(() => parseMemberName("member", name)).toThrow("has a .. in its path");
  });
});

describe("systemPath", () => {
  it("is text for ASCII and the very bytes otherwise", () => {
    expect(systemPath("/p/", "abc")).toBe("/p/abc");
    expect(systemPath("/p/", "\u00e9")).toEqual(Buffer.from("2f702fe9", "hex"));
  });
});

describe("quoteName", () => {
  it("keeps a message on one line and short", () => {
    expect(quoteName("a\nb")).toBe('"a\\nb"');
    expect(quoteName("x".repeat(5000)).length).toBeLessThan(250);
  });
});
