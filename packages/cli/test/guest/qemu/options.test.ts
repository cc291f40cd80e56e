import { describe, expect, it } from "vitest";

import { checkOptions, commandLine } from "../../../src/guest/options.ts";
import { contextId } from "../../../src/guest/qemu/vsock-device.ts";

describe("options of a virtual machine", () => {
  it.each([
    [
      { files: [{ path: "/x", content: "" }] },
      "files: not an option of a qemu guest: a measured image takes no further",
    ],
    [{ tree: "/tree" }, "tree: not an option of a qemu guest"],
    [{ flavour: "../devkit" }, "flavour: expected a name"],
    [{ cpus: 0 }, "processors: expected more than 0"],
    [{ memoryBytes: 1 }, "memory: expected at least"],
    [{ scratchBytes: 0 }, "scratch: expected whole MiB, at least one"],
    [{ scratchBytes: 512 }, "scratch: expected whole MiB"],
    [{ scratchBytes: Number.NaN }, "scratch: expected whole MiB"],
    [{ ovmf: true, tpm: false }, "ovmf: measures into a TPM"],
  ])("refuses %j", (options, text) => {
    expect(() => checkOptions({ kind: "qemu", ...options })).toThrow(text);
  });

  it.each([
    { image: "/image" },
    { flavour: "devkit" },
    { accelerator: "tcg" } as const,
    { ovmf: true },
    { tpm: true },
    { scratchBytes: 1 << 20 },
  ])("are none of a simulated guest's: %j", (options) => {
    expect(() => checkOptions(options)).toThrow("not an option of a simulated guest");
  });

  it("go on one line that the kernel takes", () => {
    expect(commandLine(["a=1", 'b="c d"'])).toBe('a=1 b="c d"');
    expect(commandLine(["x".repeat(2047)])).toHaveLength(2047);
    expect(() => commandLine(["x".repeat(2048)])).toThrow("at most 2048 bytes");
  });
});

describe("a context id", () => {
  it("is that of a guest, never one with a meaning of its own", () => {
    expect(contextId("00000000")).toBe(3);
    expect(contextId("ffffffff")).toBe(0x7fffffff);
    expect(contextId("0123abcd")).toBe(0x0123abcd >>> 1);
  });
});
