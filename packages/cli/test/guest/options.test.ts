import { describe, expect, it } from "vitest";

import { checkOptions, type StartGuestOptions } from "../../src/guest/options.ts";

describe("checkOptions", () => {
  it.each<StartGuestOptions>([{}, { cpus: 0.5 }, { cpus: 1024 }, { id: "0123abcd" }, { memoryBytes: 128 << 20 }])(
    "takes %j",
    (options) => {
      expect(() => checkOptions(options)).not.toThrow();
    },
  );

  it.each<readonly [StartGuestOptions, string]>([
    [{ cpus: 0 }, "processors: expected more than 0"],
    [{ cpus: Number.NaN }, "processors: expected"],
    [{ cpus: 1025 }, "at most 1024, got 1025"],
    [{ id: "0123ABCD" }, "guest id: expected eight hexadecimal digits"],
    [{ id: "../../x" }, "guest id"],
    [{ memoryBytes: (128 << 20) - 1 }, "memory: expected at least"],
    [{ files: [{ path: "a", content: "" }] }, "expected a plain absolute path"],
    [{ files: [{ path: "/a/../b", content: "" }] }, "expected a plain absolute path"],
    [{ files: [{ path: "/a" }] }, "expected a source or a content"],
    [{ kernelParameters: ["a\nb"] }, "expected one line"],
  ])("refuses %j", (options, message) => {
    expect(() => checkOptions(options)).toThrow(message);
  });
});
