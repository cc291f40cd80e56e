import { execFileSync } from "node:child_process";
import { mkdtempDisposableSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { nscqSwitches } from "@nacre/kata-sys-util/nscq";
import { describe, expect, it } from "vitest";

/** The calls as a C compiler sees them, against a library that stands for the driver's. */
describe("NVSwitches by NVIDIA's library", () => {
  const nonce = Buffer.from(Array.from({ length: 32 }, (_, i) => i));

  it("are those with trusted links, with a report over the nonce and the chain of its key", () => {
    using folder = mkdtempDisposableSync(join(tmpdir(), "nscq-"));
    const library = join(folder.path, "libnvidia-nscq.so.2");
    execFileSync("/usr/bin/gcc", ["-shared", "-fPIC", "-o", library, join(import.meta.dirname, "nscq.c")]);
    const switches = nscqSwitches(library);
    expect(switches.trusted()).toEqual(["SWX-02"]);
    const { architecture, report, certificates } = switches.report("SWX-02", nonce);
    expect(architecture).toBe(2);
    expect(report).toEqual(Buffer.concat([nonce, Buffer.from("a report")]));
    expect(certificates.toString()).toBe("a chain");
    expect(switches.report("SWX-02", Buffer.alloc(32, 9)).report.subarray(0, 32)).toEqual(Buffer.alloc(32, 9));
    expect(() => switches.report("SWX-01", nonce)).toThrow(
      "NSCQ: /SWX-01/config/attestation_report: expected 0, got -7",
    );
    expect(() => switches.report("SWX-03", nonce)).toThrow("expected 0, got -3");
    expect(() => switches.report("x/../y", nonce)).toThrow("expected the name of a switch");
    expect(() => switches.report("SWX-02", Buffer.alloc(31))).toThrow("expected a nonce of 32 bytes, got 31");
  });

  it("are none where the library is not", () => {
    const switches = nscqSwitches("/nonexistent/libnvidia-nscq.so.2");
    expect(switches.trusted()).toEqual([]);
    expect(() => switches.report("SWX-02", nonce)).toThrow();
  });
});
