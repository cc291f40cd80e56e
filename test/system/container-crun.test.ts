import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ContainerHarness, never, output, outputUntil, shell } from "./container-harness.ts";

/**
 * crun 1.8 refuses control groups that are mounted in both versions at once. A machine that has them so shows them
 * without the unified mount to this runtime; on others the script changes nothing.
 */
const WRAPPER = `#!/bin/sh
exec unshare --mount sh -c 'umount /sys/fs/cgroup/unified 2>/dev/null; exec /usr/bin/crun "$@"' crun "$@"
`;

let directory: string;
let harness: ContainerHarness;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "nacre-crun-"));
  const runtime = join(directory, "crun");
  writeFileSync(runtime, WRAPPER);
  chmodSync(runtime, 0o755);
  harness = new ContainerHarness({ runtime });
});
afterAll(async () => {
  expect(await harness.close()).toEqual([]);
  rmSync(directory, { recursive: true });
});

describe("with crun", () => {
  it("a container runs, takes an exec, is paused and gives its exit code", async () => {
    const container = await harness.run("echo out; read x; exit 7");
    expect(await outputUntil(container.init, "\n")).toBe("out\n");
    const process = await container.exec({ execId: "e1", process: shell("cat; exit 3") });
    await process.writeStdin(Buffer.from("in"), never());
    process.closeStdin();
    expect(await output(process)).toBe("in");
    expect(await container.wait("e1", never())).toBe(3);
    await container.pause();
    await container.resume();
    expect(container.stats().cgroup_stats.pids_stats.current).toBe(1n);
    await container.init.writeStdin(Buffer.from("\n"), never());
    expect(await container.wait("", never())).toBe(7);
    await harness.manager.remove(container.id, { timeoutMs: 0 });
    expect(harness.leftovers()).toEqual([]);
  });

  it("a terminal arrives and changes its size", async () => {
    const container = await harness.run("read x; stty size", { process: { Terminal: true } });
    container.init.resize(5, 6);
    await container.init.writeStdin(Buffer.from("\n"), never());
    expect(await outputUntil(container.init, "5 6\r\n")).toContain("5 6\r\n");
    expect(await container.wait("", never())).toBe(0);
  });

  it("a missing program has the same text and leaves nothing", async () => {
    const creating = harness.create("", { process: { Args: ["nosuch"] } }, { id: "missing" });
    await expect(creating).rejects.toThrow("the file nosuch was not found");
    expect(harness.leftovers().filter((line) => line.includes("missing"))).toEqual([]);
  });
});
