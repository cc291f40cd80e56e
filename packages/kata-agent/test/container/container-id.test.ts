import { describe, expect, it } from "vitest";
import { checkContainerId, runtimeId } from "../../src/container/container-id.ts";

describe("container ids", () => {
  it.each(["ab", "a1", "1a", "a.b_c-d", "é1", "x".repeat(255)])("takes %s", (id) => {
    expect(() => checkContainerId(id)).not.toThrow();
  });

  it.each(["", "a", ".ab", "-ab", "_ab", "a b", "a/b", "../x", "ab\n", "ab:cd", "ab,", "ab\0"])(
    "refuses %j with the real agent's text",
    (id) => {
      expect(() => checkContainerId(id)).toThrow(`invalid container ID ${id}`);
    },
  );

  it("refuses an id that is no file name", () => {
    expect(() => checkContainerId("a".repeat(300))).toThrow("File name too long (os error 36)");
  });

  it("gives the runtime ASCII names that cannot meet another id's", () => {
    expect(runtimeId("a.b_c-1")).toBe("a.b_c-1");
    expect(runtimeId("é1")).toMatch(/^\+[0-9a-f]{64}$/);
    expect(runtimeId("é1")).not.toBe(runtimeId("é2"));
  });
});
