import { describe, expect, it } from "vitest";

import { parseJson, parseJsonBytes } from "../src/json.ts";

describe("a peer's JSON", () => {
  it("keeps integers", () => {
    expect(parseJson('{"a":18446744073709551615,"b":[1,{"a":1}],"c":"x\\"{"}', "it", "request")).toEqual({
      a: 18446744073709551615n,
      b: [1, { a: 1 }],
      c: 'x"{',
    });
  });

  it.each(['{"a":1,"a":2}', '{"a":1,"\\u0061":2}', '[{"b":{"x":1,"y":2, "x" :3}}]', '{"a":{"a":1},"a":2}'])(
    "is refused as %s",
    (text) => {
      expect(() => parseJson(text, "it", "request")).toThrow("it: expected each member once");
    },
  );

  it.each(['{"a":"a","b":"a:","c":{"a":1}}', '["a","a"]', '{"a":["a:"],"b":[{"a":1},{"a":1}]}'])(
    "is accepted as %s",
    (text) => {
      expect(parseJson(text, "it", "request")).toEqual(JSON.parse(text));
    },
  );

  it("is refused when it nests too deeply, or is none, without a word of it", () => {
    expect(() => parseJson("[".repeat(65), "it", "evidence")).toThrow("it: expected at most 64 levels");
    expect(() => parseJson("secret", "it", "evidence")).toThrow(/^it: expected JSON$/u);
    expect(() => parseJsonBytes(Buffer.from([0x22, 0xff, 0x22]), "it", "evidence")).toThrow("it: expected UTF-8");
  });
});
