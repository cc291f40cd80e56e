import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

import { describe, expect, it } from "vitest";

import { NODE_PAGES } from "../../guest-rootfs/node-pages.ts";
import { IMAGES } from "../../guest-rootfs/paths.ts";
import { bootImage, builtImage } from "../fixtures/boot-image.ts";

const EM_AARCH64 = 0xb7;
const image = builtImage("devkit-arm64");
/** The agent's line when it takes calls. */
const STARTED = /ttRPC server started/u;

interface Listed {
  readonly path: string;
  readonly type: string;
  readonly mode: string;
}

describe("the image for arm64", () => {
  const listed = JSON.parse(readFileSync(join(image.folder, "manifest.json"), "utf8")) as readonly Listed[];

  it("lists what the image for x86_64 lists, but for names of libraries and modules, and pages that were measured", () => {
    const other = JSON.parse(readFileSync(join(IMAGES, "devkit/manifest.json"), "utf8")) as readonly Listed[];
    const kept = (entries: readonly Listed[]): string[] =>
      entries
        .filter(({ path }) => path !== NODE_PAGES)
        .filter(({ path }) => !/^\/usr\/lib(?:64)?\/(?:modules|[a-z0-9_]+-linux-gnu|ld-linux[^/]*)(?:\/|$)/u.test(path))
        .map(({ path, type, mode }) => `${path} ${type} ${mode}`);
    expect(kept(listed)).toEqual(kept(other));
  });

  it("holds programs and libraries for arm64 alone", () => {
    const root = join(IMAGES, ".work/devkit-arm64/base/root");
    const machines = listed
      .filter(({ type }) => type === "file")
      .map(({ path }) => ({ path, head: readFileSync(join(root, path)).subarray(0, 20) }))
      .filter(({ head }) => head.length === 20 && head.readUInt32BE(0) === 0x7f45_4c46)
      .map(({ path, head }) => ({ path, machine: head.readUInt16LE(18) }));
    expect(machines.length).toBeGreaterThan(30);
    expect(machines.filter(({ machine }) => machine !== EM_AARCH64)).toEqual([]);
  });

  it("has a unified kernel image for arm64", () => {
    const text = execFileSync(
      "/usr/bin/aarch64-linux-gnu-objdump",
      ["-h", join(image.folder, image.unifiedKernelImage)],
      { encoding: "utf8" },
    );
    expect(text).toContain("pei-aarch64");
    for (const section of [".linux", ".osrel", ".cmdline", ".initrd"]) expect(text).toContain(section);
  });

  it("is below 120 MB, kernel and initramfs with it", () => {
    const sizes = [image.kernel, image.initramfs, image.disk].map(
      (name) => readFileSync(join(image.folder, name)).length,
    );
    expect(readdirSync(image.folder)).toEqual(expect.arrayContaining([image.kernel, image.initramfs, image.disk]));
    expect(sizes.reduce((sum, size) => sum + size, 0)).toBeLessThan(120e6);
  });
});

describe("the image for arm64 in QEMU", () => {
  it("reaches the agent", async () => {
    const console = await bootImage(image, { memoryMiB: 512, until: STARTED });
    expect(console).toMatch(STARTED);
  });

  it("does not run with another root hash", async () => {
    const other = image.rootHash.replace(/^./u, (digit) => (digit === "0" ? "1" : "0"));
    const commandLine = image.commandLine.replace(image.rootHash, other);
    const console = await bootImage(image, { commandLine, until: STARTED });
    expect(console).toContain("nacre stage1: expected the root that this initramfs was built for");
    expect(console).not.toMatch(STARTED);
  });

  it("says so and powers off without a root to open", async () => {
    const commandLine = image.commandLine.replace(/dm-mod\.create="[^"]*"/u, "");
    const console = await bootImage(image, { commandLine, until: STARTED });
    expect(console).toMatch(/nacre stage1: expected a measured root/u);
    expect(console).toContain("reboot: Power down");
  });
});
