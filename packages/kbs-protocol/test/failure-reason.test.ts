import { describe, expect, it } from "vitest";

import { failureReason, isFailureReason, KbsProtocolError, type KbsProtocolErrorCode } from "../src/index.ts";

describe("failureReason", () => {
  it.each<[KbsProtocolErrorCode, string | undefined, string]>([
    ["refused", "PolicyDeny", "DENIED"],
    ["refused", "TokenVerifierError", "DENIED"],
    ["refused", undefined, "DENIED"],
    ["refused", "PluginInternalError", "MISSING"],
    ["not-found", "PluginNotFound", "MISSING"],
    ["network", undefined, "UNREACHABLE"],
    ["peer", undefined, "UNREACHABLE"],
    ["uri", undefined, "MALFORMED"],
    ["jwe", undefined, "MALFORMED"],
  ])("%s %s is %s", (code, variant, reason) => {
    const error = new KbsProtocolError(code, "x", { variant });
    expect(failureReason(error)).toBe(reason);
    expect(failureReason(new Error("outer", { cause: error }))).toBe(reason);
  });

  it("knows nothing of other errors", () => {
    expect(failureReason(new Error("x"))).toBeUndefined();
    expect(failureReason("x")).toBeUndefined();
    expect([isFailureReason("DENIED"), isFailureReason("denied"), isFailureReason(undefined)]).toEqual([
      true,
      false,
      false,
    ]);
  });
});
