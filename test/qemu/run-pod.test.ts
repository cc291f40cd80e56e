import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { podManifest } from "../fixtures/generated-pod.ts";
import { processesWith } from "../fixtures/machine-facts.ts";
import { NACRE, NacreCommand } from "../fixtures/nacre-command.ts";
import { NetworkNamespace } from "../fixtures/network-namespace.ts";
import { pushPodImages } from "../fixtures/pod-images.ts";
import { type Registry, startRegistry } from "../fixtures/registry.ts";

const PORT = 5000;

describe("nacre run -f --qemu", () => {
  let dir: string;
  let network: NetworkNamespace;
  const registries: Registry[] = [];
  let nacre: NacreCommand;
  beforeAll(async () => {
    dir = mkdtempSync("/run/nacre-test-");
    network = new NetworkNamespace();
    // Pushed outside, served inside.
    const pushed = await startRegistry();
    registries.push(pushed);
    await pushPodImages(pushed);
    const { within } = network;
    registries.unshift(await startRegistry({ address: `0.0.0.0:${PORT}`, within, storage: pushed.storage }));
    nacre = new NacreCommand(dir);
  });
  afterAll(async () => {
    for (const registry of registries) await registry.close();
    network?.[Symbol.dispose]();
    rmSync(dir, { recursive: true, force: true });
  });

  it("runs a pod of several containers in a virtual machine and takes everything away", async () => {
    const path = join(dir, "pod.yaml");
    writeFileSync(path, podManifest("multi"));
    const { child, result } = nacre.start(
      ["run", "-f", path, "--mirror", `docker.io=gateway:${PORT}`, "--qemu", "--accel", "tcg", "-i"],
      [...network.within, ...NACRE],
    );
    child.stdin?.end("hello\n");
    const { status, stdout, stderr } = await result;
    expect(stderr).toMatch(/^policy of \w+ [\w-]+: sha256 [0-9a-f]{64}; it allows the \d+ requests of such a pod\n/u);
    for (const line of ["prepare | prepared", "app | prepared", "app | got hello", "sidecar | sidecar of shop"])
      expect(stdout).toContain(`${line}\n`);
    expect(status).toBe(0);
    expect(readdirSync(join(dir, "guests"))).toEqual([]);
    expect(processesWith(`${dir} `)).toEqual([]);
  });
});
