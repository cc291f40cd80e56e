import { mkdirSync, mkdtempDisposableSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { expect, it } from "vitest";

import { guestLayout } from "../../../src/guest/layout.ts";
import type { StartGuestOptions } from "../../../src/guest/options.ts";
import type { QemuPlan } from "../../../src/guest/plan.ts";
import { qemuPlan } from "../../../src/guest/qemu/qemu-plan.ts";

const NETWORK = { gateway: "198.18.0.1", address: "198.18.0.2", prefixLength: 30 };
const RULE = { prefix: "docker.io", location: "198.18.0.1:5000", insecure: true };

/** The plan of a guest of this flavour. */
async function planOf(flavour: string, options: Partial<StartGuestOptions>): Promise<QemuPlan> {
  using root = mkdtempDisposableSync(join(tmpdir(), "nacre-plan-"));
  const image = { flavour, arch: "x86_64", kernel: "k", initramfs: "i", disk: "d", commandLine: "c", rootHash: "00" };
  writeFileSync(join(root.path, "image.json"), JSON.stringify(image));
  for (const name of ["k", "i", "d"]) writeFileSync(join(root.path, name), "");
  const layout = guestLayout(root.path, "0123abcd");
  mkdirSync(layout.files, { recursive: true });
  return await qemuPlan(layout, NETWORK, { kind: "qemu", image: root.path, ...options });
}

it.each([
  ["devkit", "no registries", [], true],
  ["kata", "no registries", [], false],
  ["kata", "a function that names none", () => [], false],
  ["kata", "a registry", [RULE], true],
  ["kata", "a function that names one", () => [RULE], true],
] as const)("a guest of flavour %s with %s: initdata %4$s", async (flavour, _what, registries, given) => {
  expect((await planOf(flavour, { registries })).initdata !== undefined).toBe(given);
});

it("a guest that is reached over a serial port listens where its init looks", async () => {
  expect((await planOf("devkit", { bridge: "virtio-serial" })).commandLine).toMatch(
    / nacre\.bridge agent\.server_addr=unix:\/\/\/run\/nacre-ports\/1024\.sock$/u,
  );
  expect((await planOf("devkit", { bridge: "vhost-user-vsock" })).commandLine).not.toContain("nacre.bridge");
  await expect(planOf("kata", { bridge: "virtio-serial" })).rejects.toThrow("expected a devkit image, got kata");
});
