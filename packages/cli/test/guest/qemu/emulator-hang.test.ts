import { appendFileSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { emulatorHang } from "../../../src/guest/qemu/emulator-hang.ts";

const LOCKUP = "[   28.060000] watchdog: BUG: soft lockup - CPU#1 stuck for 26s! [swapper/1:0]\r\n";
const INIT = "[    2.060000] Run /init as init process\r\n";

describe("an emulation that hangs", () => {
  let folder: string;
  let console: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "nacre-hang-"));
    console = join(folder, "log");
    writeFileSync(console, "");
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  it("is told by the kernel's watchdog, before and after the first program", async () => {
    const { signal } = new AbortController();
    const told = emulatorHang(console, { from: 0, signal });
    appendFileSync(console, `[    0.000000] Linux version 6.1.0\r\n${LOCKUP.slice(0, 30)}`);
    appendFileSync(console, LOCKUP.slice(30));
    expect(await told).toBe("the kernel tells of a soft lockup");
    writeFileSync(console, INIT + LOCKUP);
    expect(await emulatorHang(console, { from: 0, signal })).toBe("the kernel tells of a soft lockup");
  });

  it("is told by a kernel that starts no program", async () => {
    const { signal } = new AbortController();
    appendFileSync(console, "[    0.000000] Linux version 6.1.0\r\n");
    const told = emulatorHang(console, { from: 0, signal, kernelMs: 20 });
    expect(await told).toBe("the kernel started nothing within 0.02 s");
  });

  it("is no matter of a boot before this one, nor of a guest that is slow", async () => {
    const watch = new AbortController();
    writeFileSync(console, LOCKUP + INIT);
    const told = emulatorHang(console, { from: LOCKUP.length, signal: watch.signal, kernelMs: 20 });
    const other = emulatorHang(console, { from: LOCKUP.length + INIT.length, signal: watch.signal, kernelMs: 20 });
    // Both began at the same time; by then the first has outlived its bound, too.
    expect(await other).toBeDefined();
    watch.abort();
    expect(await told).toBeUndefined();
  });
});
