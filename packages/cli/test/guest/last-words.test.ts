import { mkdtempDisposableSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { describe, expect, it } from "vitest";

import { lastWords, tellingLines } from "../../src/guest/last-words.ts";

describe("why a guest ended", () => {
  it("is what init or the kernel said of it, not the trace that comes after", () => {
    const log = [
      "[    1.0] erofs: mounted",
      "[    2.0] NVRC panic: mount /proc: expected proc, got tmpfs",
      "[    2.1] Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000100",
      ...Array.from({ length: 30 }, (_, i) => `[    2.2] ? some_function+0x${i}/0x40`),
      "[    2.3] Rebooting in 1 seconds..\r",
      "",
    ].join("\r\n");
    expect(tellingLines(log)).toEqual([
      "[    2.0] NVRC panic: mount /proc: expected proc, got tmpfs",
      "[    2.1] Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000100",
    ]);
  });

  it("is the last lines where nobody said why", () => {
    const lines = Array.from({ length: 20 }, (_, i) => `line ${i}`);
    expect(tellingLines(`${lines.join("\n")}\n\n`)).toEqual(lines.slice(-10));
    expect(tellingLines("")).toEqual([]);
  });

  it("is read from the end of the file, however long that is", () => {
    using folder = mkdtempDisposableSync(join(tmpdir(), "nacre-log-"));
    const log = join(folder.path, "guest.log");
    expect(lastWords(log)).toBe("");
    writeFileSync(log, `${"x".repeat(200_000)}\nkata-agent: no policy\n`);
    expect(lastWords(log)).toBe("kata-agent: no policy");
  });
});
