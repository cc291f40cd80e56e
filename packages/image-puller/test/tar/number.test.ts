import { describe, expect, it } from "vitest";
import { parseNumber } from "../../src/tar/number.ts";

describe("parseNumber", () => {
  it.each([
    ["0000644\0", 0o644],
    ["000644 \0", 0o644],
    ["   644 \0", 0o644],
    ["\0\0\0\0\0\0\0\0", 0],
    ["        ", 0],
    ["77777777777", 0o77777777777],
  ])("octal %j", (text, value) => {
    expect(parseNumber("x", Buffer.from(text, "latin1"))).toBe(value);
  });

  it.each([
    ["8000000000000001", 1],
    ["80000000000000000000ffff", 65535],
    ["ffffffffffffffff", -1],
    ["fffffffffffffffffffffffe", -2],
    ["800000000000000200000000", 2 ** 33],
  ])("base-256 %s", (hex, value) => {
    expect(parseNumber("x", Buffer.from(hex, "hex"))).toBe(value);
  });

  it.each(["abc", "12x", "8", "1 2", "-1"])("refuses %j", (text) => {
    expect(() => parseNumber("size", Buffer.from(text, "latin1"))).toThrow("tar header: size is not a number");
  });

  it("refuses more than a safe integer", () => {
    expect(() => parseNumber("size", Buffer.from("80ffffffffffffffffffffff", "hex"))).toThrow("size is not a number");
  });
});
