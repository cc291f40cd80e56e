import { describe, expect, it } from "vitest";

import { NvrcError, oneLine } from "../src/error.ts";

describe("oneLine", () => {
  it("joins the causes and folds lines", () => {
    const error = new NvrcError("mount", "mount proc on /proc", { cause: new Error("mount: EPERM\nsecond line") });
    expect(oneLine(error)).toBe("mount proc on /proc: mount: EPERM second line");
  });

  it("ends with causes that lead in a circle", () => {
    const error = new Error("round");
    error.cause = error;
    expect(oneLine(error)).toBe(Array.from({ length: 8 }, () => "round").join(": "));
  });

  it("takes what is no error", () => {
    expect(oneLine({ code: 1 })).toBe('{"code":1}');
  });
});
