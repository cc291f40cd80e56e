import { Code } from "@nacre/protocols";
import { describe, expect, it } from "vitest";
import { messageWithCauses, RpcError } from "../src/index.ts";

describe("errors", () => {
  it("keep an RpcError as it is", () => {
    const error = new RpcError(Code.NOT_FOUND, "gone", { cause: new Error("inner") });
    expect(RpcError.from(error)).toBe(error);
    expect(error.message).toBe("gone");
  });

  it("make all else INTERNAL", () => {
    expect(RpcError.from(new TypeError("bad"))).toMatchObject({ code: 13, message: "bad" });
    expect(RpcError.from("text")).toMatchObject({ code: 13, message: "text" });
    expect(RpcError.from(undefined)).toMatchObject({ code: 13, message: "unknown error" });
  });

  it("tell one cause without a number", () => {
    expect(messageWithCauses(new Error("outer", { cause: new Error("inner") }))).toBe("outer\n\nCaused by:\n    inner");
  });

  it("number several, and indent what has more lines", () => {
    const error = new Error("a", { cause: new Error("b\nb2", { cause: new Error("c") }) });
    expect(messageWithCauses(error)).toBe("a\n\nCaused by:\n    0: b\n       b2\n    1: c");
  });

  it("end where a chain of causes loops", () => {
    const error = new Error("a");
    error.cause = error;
    expect(messageWithCauses(error).split("\n").length).toBe(3 + 16);
  });

  it("never show a stack", () => {
    const message = messageWithCauses(new Error("outer", { cause: new Error("inner") }));
    expect(message).not.toMatch(/\bat\b|\.ts/);
  });
});
