import { describe, expect, it } from "vitest";
import { parseChallenges } from "../src/challenge.ts";
import { OciError } from "../src/index.ts";
import { seeded } from "../../../test/fixtures/seeded.ts";

const plain = (header: string): unknown =>
  parseChallenges(header).map(({ scheme, parameters }) => [scheme, Object.fromEntries(parameters)]);

describe("parseChallenges", () => {
  it("reads a bearer challenge", () => {
    expect(plain('Bearer realm="https://a.test/token",service="reg",scope="repository:x:pull,push"')).toEqual([
      ["bearer", { realm: "https://a.test/token", service: "reg", scope: "repository:x:pull,push" }],
    ]);
  });

  it("tells several challenges apart", () => {
    expect(plain('Negotiate, Basic realm="a, b" , Bearer realm=x, Error="invalid \\"token\\""')).toEqual([
      ["negotiate", {}],
      ["basic", { realm: "a, b" }],
      ["bearer", { realm: "x", error: 'invalid "token"' }],
    ]);
  });

  it.each(["", " , ", '"', "x".repeat(9000)])("refuses a header without challenge: %j", (header) => {
    expect(() => parseChallenges(header)).toThrow(OciError);
  });

  it("gives challenges or an OciError for any text", () => {
    const random = seeded(3);
    const alphabet = 'aB="\\ ,;\t/é';
    for (let round = 0; round < 5000; round += 1) {
      const text = Array.from({ length: random(60) }, () => alphabet[random(alphabet.length)]).join("");
      try {
        expect(parseChallenges(text).length).toBeGreaterThan(0);
      } catch (error) {
        expect(error).toBeInstanceOf(OciError);
      }
    }
  });
});
