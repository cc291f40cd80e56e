import { describe, expect, it } from "vitest";
import { findMethod, requestOf } from "../src/commands/rpc.ts";

describe("findMethod", () => {
  it.each(["Check", "Health/Check", "grpc.Health/Check", "/grpc.Health/Check"])("%s", (text) => {
    expect(findMethod(text).path).toBe("/grpc.Health/Check");
  });

  it.each(["", "check", "Nope", "AgentService/Check", "grpc.Health/", "/", "toString"])("refuses %j", (text) => {
    expect(() => findMethod(text)).toThrow(`the agent has no method ${text}`);
  });
});

describe("requestOf", () => {
  it("keeps 64-bit numbers exact", () => {
    const request = requestOf(findMethod("UpdateContainer"), '{"resources":{"Memory":{"Limit":9007199254740993}}}');
    expect(request).toMatchObject({ resources: { Memory: { Limit: 9_007_199_254_740_993n } } });
  });

  it("names the field that is wrong", () => {
    expect(() => requestOf(findMethod("StartContainer"), '{"container":"x"}')).toThrow("request of StartContainer");
    expect(() => requestOf(findMethod("StartContainer"), "{")).toThrow("request of StartContainer");
  });
});
