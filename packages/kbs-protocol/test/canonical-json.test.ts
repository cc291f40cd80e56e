import { createHash } from "node:crypto";

import { describe, expect, it } from "vitest";

import { canonicalJson, KbsProtocolError } from "../src/index.ts";

describe("canonical JSON", () => {
  it.each([
    [{ b: 1, a: "test", c: { d: "e" } }, '{"a":"test","b":1,"c":{"d":"e"}}'],
    [[56, { d: true, 10: null, 1: [] }], '[56,{"1":[],"10":null,"d":true}]'],
    // RFC 8785, appendix B and section 3.2.
    [[333_333_333.333_333_3, 1e30, 4.5, 2e-3, 1e-27, -0], "[333333333.3333333,1e+30,4.5,0.002,1e-27,0]"],
    ['€$\u000f\nA\'B"\\\\"/', String.raw`"€$\u000f\nA'B\"\\\\\"/"`],
    [
      { "€": 1, "\r": 2, "\ufb33": 3, "1": 4, "😀": 5, "\u0080": 6, ö: 7 },
      '{"\\r":2,"1":4,"\u0080":6,"ö":7,"€":1,"😀":5,"\ufb33":3}',
    ],
  ])("writes %j", (value, text) => {
    expect(canonicalJson(value)).toBe(text);
  });

  it("is what the broker hashes", () => {
    const text = canonicalJson({ b: 1, a: "test", c: { d: "e" } });
    expect(createHash("sha384").update(text).digest("hex")).toBe(
      "e71ce8e70d814ba6639c3612ebee0ff1f76f650f8dbb5e47157e0f3f525cd22c4597480a186427c813ca941da78870c3",
    );
  });

  it.each([[Number.NaN], [Infinity], [undefined], [1n], [{ a: undefined }], ["\ud800"], [{ "\udc00": 1 }]])(
    "refuses %s",
    (value) => {
      expect(() => canonicalJson(value)).toThrow(KbsProtocolError);
    },
  );

  it("refuses what nests without end", () => {
    const loop: unknown[] = [];
    loop.push(loop);
    expect(() => canonicalJson(loop)).toThrow("expected at most 64 levels");
  });
});
