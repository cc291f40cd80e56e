import { describe, expect, it } from "vitest";
import { applyPatch, type Json, PolicyError } from "../src/index.ts";

const failing = (document: Json, patch: readonly Json[]): string => {
  try {
    applyPatch(document, patch);
  } catch (error) {
    if (error instanceof PolicyError) return error.message;
    throw error;
  }
  throw new Error("expected the patch to fail");
};

describe("applyPatch", () => {
  it.each<[string, Json, readonly Json[], Json]>([
    ["adds a member", { a: 1 }, [{ op: "add", path: "/b", value: 2 }], { a: 1, b: 2 }],
    ["replaces by add", { a: 1 }, [{ op: "add", path: "/a", value: 2 }], { a: 2 }],
    ["inserts into an array", { a: [1, 3] }, [{ op: "add", path: "/a/1", value: 2 }], { a: [1, 2, 3] }],
    ["appends", { a: [1] }, [{ op: "add", path: "/a/-", value: 2 }], { a: [1, 2] }],
    ["removes", { a: 1, b: 2 }, [{ op: "remove", path: "/a" }], { b: 2 }],
    ["moves", { a: { x: 1 } }, [{ op: "move", from: "/a/x", path: "/y" }], { a: {}, y: 1 }],
    ["copies", { a: { x: 1 } }, [{ op: "copy", from: "/a", path: "/b" }], { a: { x: 1 }, b: { x: 1 } }],
    ["tests", { a: [1, { b: null }] }, [{ op: "test", path: "/a", value: [1, { b: null }] }], { a: [1, { b: null }] }],
    [
      "unescapes pointers",
      { "a/b": { "m~n": 1 } },
      [{ op: "replace", path: "/a~1b/m~0n", value: 2 }],
      { "a/b": { "m~n": 2 } },
    ],
    ["replaces the whole", { a: 1 }, [{ op: "replace", path: "", value: 5 }], 5],
  ])("%s", (_name, document, patch, expected) => {
    const before = JSON.stringify(document);
    expect(applyPatch(document, patch)).toEqual(expected);
    expect(JSON.stringify(document)).toBe(before);
  });

  it.each<[readonly Json[], string]>([
    [[{ op: "remove", path: "/pstate/none" }], "operation '/0' failed at path '/pstate/none': path is invalid"],
    [
      [{ op: "replace", path: "/pstate/none", value: 1 }],
      "operation '/0' failed at path '/pstate/none': path is invalid",
    ],
    [[{ op: "test", path: "/pstate", value: 1 }], "operation '/0' failed at path '/pstate': value did not match"],
    [[{ op: "add", path: "/pstate/x/y", value: 1 }], "operation '/0' failed at path '/pstate/x/y': path is invalid"],
    [
      [{ op: "frob", path: "/a" }],
      "unknown variant `frob`, expected one of `add`, `remove`, `replace`, `move`, `copy`, `test`",
    ],
    [[{ op: "remove" }], "missing field `path`"],
    [[{ op: "add", path: "/a" }], "missing field `value`"],
    [[{ op: "move", path: "/a" }], "missing field `from`"],
    [
      [{ op: "add", path: "a", value: 1 }],
      "json pointer failed to parse; does not start with a slash ('/') and is not empty",
    ],
    [
      [{ op: "move", from: "/pstate", path: "/pstate/x" }],
      "operation '/0' failed at path '/pstate/x': cannot move the value inside itself",
    ],
  ])("refuses %j", (patch, message) => {
    expect(failing({ pstate: {} }, patch)).toBe(message);
  });

  it("never reaches a prototype", () => {
    const result = applyPatch({}, [{ op: "add", path: "/__proto__", value: { polluted: true } }]) as Record<
      string,
      Json
    >;
    expect(Object.hasOwn(result, "__proto__")).toBe(true);
    expect(({} as Record<string, unknown>)["polluted"]).toBeUndefined();
    expect(failing({}, [{ op: "add", path: "/constructor/prototype/x", value: 1 }])).toContain("path is invalid");
    expect(failing({}, [{ op: "remove", path: "/toString" }])).toContain("path is invalid");
  });

  it("never changes its input and throws nothing but PolicyError (seeded)", () => {
    let seed = 7;
    const random = (n: number): number => ((seed = (Math.imul(seed, 1103515245) + 12345) >>> 0) >>> 8) % n;
    const pointers = ["", "/", "/a", "/a/0", "/a/-", "/a/01", "/b/c", "/~0", "/~2", "x", "/__proto__"];
    const names = ["add", "remove", "replace", "move", "copy", "test", "?"];
    const pick = <T>(from: readonly T[]): T => from.at(random(from.length))!;
    let applied = 0;
    for (let round = 0; round < 5000; round += 1) {
      const document: Json = { a: [1, 2, { d: 1n }], b: { c: "x" } };
      const patch = Array.from({ length: 1 + random(4) }, () => ({
        op: pick(names),
        path: pick(pointers),
        from: pick(pointers),
        value: pick<Json>([1, null, [1], { z: 1 }]),
      }));
      try {
        applyPatch(document, patch);
        applied += 1;
      } catch (error) {
        expect(error).toBeInstanceOf(PolicyError);
      }
      expect(document).toEqual({ a: [1, 2, { d: 1n }], b: { c: "x" } });
    }
    expect(applied).toBeGreaterThan(100);
  });
});
