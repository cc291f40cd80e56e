import { expect, it } from "vitest";

import { shellOptions } from "../../src/guest/shell.ts";

const PARAMETERS = ["agent.debug_console", "agent.debug_console_vport=1026"];

it("a simulated guest gets busybox; a virtual machine its image's extension", () => {
  expect(shellOptions("simulated", () => true)).toEqual({
    kernelParameters: PARAMETERS,
    files: [{ path: "/usr/bin/sh", source: "/bin/busybox", mode: 0o755 }],
  });
  expect(shellOptions("qemu", () => false)).toEqual({ kernelParameters: PARAMETERS, extensions: ["devkit"] });
});

it("says what to install", () => {
  expect(() => shellOptions("simulated", () => false)).toThrow("apt-get install busybox-static");
});
