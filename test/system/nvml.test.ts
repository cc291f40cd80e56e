import { execFileSync } from "node:child_process";
import { mkdtempDisposableSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { nvmlGpus } from "@nacre/kata-sys-util/nvml";
import { describe, expect, it } from "vitest";

/** The calls as a C compiler sees them, against a library that stands for the driver's. */
describe("GPUs by NVIDIA's library", () => {
  const nonce = Buffer.alloc(32, 7);

  it("are there with a report over the nonce and the chain of its key", () => {
    using folder = mkdtempDisposableSync(join(tmpdir(), "nvml-"));
    const library = join(folder.path, "libnvidia-ml.so.1");
    execFileSync("/usr/bin/gcc", ["-shared", "-fPIC", "-o", library, join(import.meta.dirname, "nvml.c")]);
    const gpus = nvmlGpus(library);
    expect(gpus.confidential()).toBe(1);
    const { architecture, uuid, report, certificates } = gpus.report(0, nonce);
    expect([architecture, uuid]).toEqual([9, "GPU-11111111-2222-3333-4444-555555555555"]);
    expect(report).toEqual(Buffer.concat([nonce, Buffer.from("a report")]));
    expect(certificates.toString()).toBe("a chain");
    expect(() => gpus.report(1, nonce)).toThrow("NVML: nvmlDeviceGetHandleByIndex_v2: expected 0, got 2");
    expect(() => gpus.report(0, Buffer.alloc(31))).toThrow("expected a nonce of 32 bytes, got 31");
  });

  it("are none where the library is not", () => {
    const gpus = nvmlGpus("/nonexistent/libnvidia-ml.so.1");
    expect(gpus.confidential()).toBe(0);
    expect(() => gpus.report(0, nonce)).toThrow();
  });
});
