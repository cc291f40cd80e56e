import { describe, expect, it } from "vitest";

import { PolicyError } from "../src/index.ts";
import { members } from "../src/json-spans.ts";
import { readVerdict } from "../src/verdict.ts";
import { seeded } from "./random-message.ts";

function refusal(json: string): string {
  try {
    readVerdict(json);
  } catch (error) {
    if (error instanceof PolicyError) return `${error.code}: ${error.message}`;
    throw error;
  }
  throw new Error("expected a refusal");
}

const OP = '{"op":"add","path":"/pstate/a","value":1}';

describe("readVerdict", () => {
  it.each([
    ["true", true, 0],
    ["false", false, 0],
    ['{"allowed":true}', true, 0],
    ['{"allowed":false,"ops":null}', false, 0],
    ['{"allowed":true,"ops":[]}', true, 0],
    [`{"allowed":false,"ops":[${OP}]}`, false, 1],
    [`{"aaa":{"allowed":false},"allowed":true,"ops":[${OP},${OP}],"zzz":1}`, true, 2],
    [`{"allowed":true,"ops":[{"extra":1,"op":"remove","path":""}]}`, true, 1],
  ])("%s", (json, allowed, ops) => {
    const verdict = readVerdict(json);
    expect(verdict.allowed).toBe(allowed);
    expect(verdict.ops).toHaveLength(ops);
  });

  // The columns are those of the real agent's reader, which counts bytes.
  it.each([
    ["{}", "missing field `allowed` at line 1 column 2"],
    ['{"ops":[]}', "missing field `allowed` at line 1 column 10"],
    ['{"allowed":"true"}', 'invalid type: string "true", expected a boolean at line 1 column 17'],
    ['{"allowed":null}', "invalid type: null, expected a boolean at line 1 column 15"],
    ['{"allowed":{}}', "invalid type: map, expected a boolean at line 1 column 11"],
    ['{"aü":1,"allowed":1}', "invalid type: integer `1`, expected a boolean at line 1 column 20"],
    ['{"allowed":true,"ops":{}}', "invalid type: map, expected a sequence at line 1 column 22"],
    [
      '{"allowed":true,"ops":[{"op":"frob","path":"/pstate/a","value":1}]}',
      "unknown variant `frob`, expected one of `add`, `remove`, `replace`, `move`, `copy`, `test` at line 1 column 35",
    ],
    ['{"allowed":true,"ops":[{"op":"add","value":1}]}', "missing field `path` at line 1 column 46"],
    [`{"allowed":true,"ops":[${OP},{"op":"add","path":"/a"}]}`, "missing field `value` at line 1 column 90"],
    ['{"allowed":true,"ops":[{"path":"/a"}]}', "missing field `op` at line 1 column 36"],
    [
      '{"allowed":true,"ops":[{"op":"add","path":"pstate/a","value":1}]}',
      "json pointer failed to parse; does not start with a slash ('/') and is not empty at line 1 column 64",
    ],
  ])("%s", (json, message) => {
    expect(refusal(json)).toBe(`evaluation: ${message}`);
  });

  it("reads any object or says that it cannot (seeded)", () => {
    const random = seeded(11);
    let read = 0;
    for (let round = 0; round < 3000; round += 1) {
      const json = JSON.stringify({
        allowed: randomJson(random, 2),
        ops: randomJson(random, 3),
        x: randomJson(random, 3),
      });
      try {
        expect(typeof readVerdict(json).allowed).toBe("boolean");
        read += 1;
      } catch (error) {
        expect(error).toBeInstanceOf(PolicyError);
      }
    }
    expect(read).toBeGreaterThan(50);
  });
});

describe("members", () => {
  it("are the members that JSON.parse finds (seeded)", () => {
    const random = seeded(12);
    for (let round = 0; round < 2000; round += 1) {
      const made = randomJson(random, 3);
      if (typeof made !== "object" || made === null) continue;
      const json = JSON.stringify(made);
      const found = members(json).map(({ key, start, end }) => [key, JSON.parse(json.slice(start, end)) as unknown]);
      expect(found).toEqual(Array.isArray(made) ? made.map((one) => ["", one]) : Object.entries(made));
    }
  });
});

function randomJson(random: (n: number) => number, depth: number): unknown {
  const many = Array.from({ length: random(4) });
  switch (random(depth > 0 ? 7 : 5)) {
    case 0:
      return null;
    case 1:
    case 2:
      return random(2) === 1;
    case 3:
      return random(1000) - 500;
    case 4:
      return ['"', "\\", "a,b", "{[", "]}", "", "ü🦀", 'x":{'][random(8)];
    case 5:
      return many.map(() => randomJson(random, depth - 1));
    default: {
      const keys = ["op", "path", "value", "from", 'k"', "{", "a:b"];
      return Object.fromEntries(many.map(() => [keys[random(keys.length)], randomJson(random, depth - 1)]));
    }
  }
}
