import { execFileSync } from "node:child_process";
import {
  closeSync,
  constants,
  copyFileSync,
  mkdtempDisposableSync,
  openSync,
  readFileSync,
  readSync,
  statSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { describe, expect, it } from "vitest";

import { IMAGES } from "../../guest-rootfs/paths.ts";
import { bootImage, builtImage, readImage } from "../fixtures/boot-image.ts";

const BLOCK = 4096;
const DATA_START = 1 << 20;

const image = builtImage("devkit");
const disk = join(image.folder, image.disk);
/** The agent's line when it takes calls. */
const STARTED = /ttRPC server started/u;

/** Where the disk's second partition begins. */
function treeStart(): number {
  const { partitiontable } = JSON.parse(execFileSync("/sbin/sfdisk", ["--json", disk], { encoding: "utf8" })) as {
    partitiontable: { partitions: { start: number }[] };
  };
  return (partitiontable.partitions[1]?.start ?? 0) * 512;
}

/** Where a file of the root begins on the disk, by dump.erofs, which reads a file system from its beginning. */
function fileStart(path: string): number {
  using folder = mkdtempDisposableSync(join(tmpdir(), "root-"));
  const root = join(folder.path, "root");
  writeFileSync(root, readFileSync(disk).subarray(DATA_START, treeStart()));
  const text = execFileSync("/usr/bin/dump.erofs", ["-e", `--path=${path}`, root], { encoding: "utf8" });
  const start = /^ *0: +\d+\.\. +\d+ \| +\d+ : +(\d+)\.\./mu.exec(text)?.[1];
  if (start === undefined) throw new Error(`dump.erofs ${path}: expected extents, got ${text}`);
  return DATA_START + Number(start);
}

/** Boots from a copy of the disk with one bit flipped. */
async function bootFlipped(at: number): Promise<string> {
  using folder = mkdtempDisposableSync(join(tmpdir(), "flipped-"));
  const copy = join(folder.path, "disk");
  copyFileSync(disk, copy, constants.COPYFILE_FICLONE);
  const fd = openSync(copy, "r+");
  const byte = Buffer.alloc(1);
  readSync(fd, byte, 0, 1, at);
  byte[0] = (byte[0] ?? 0) ^ 0x10;
  writeSync(fd, byte, 0, 1, at);
  closeSync(fd);
  return await bootImage(image, { disk: copy, until: /server_addr/u });
}

describe("an initramfs that is the whole root", () => {
  it("is below 120 MB, the kernel with it", () => {
    const { folder, kernel, initramfs = "" } = readImage(join(IMAGES, "devkit-initrd"));
    const [first, second] = [kernel, initramfs].map((name) => statSync(join(folder, name)).size);
    expect((first ?? Infinity) + (second ?? Infinity)).toBeLessThan(120e6);
  });

  it("reaches the agent", async () => {
    const console = await bootImage(readImage(join(IMAGES, "devkit-initrd")), { memoryMiB: 768, until: STARTED });
    expect(console).toMatch(STARTED);
  });
});

describe("the measured image in QEMU", () => {
  it("reaches the agent in 256 MiB", async () => {
    const console = await bootImage(image, { memoryMiB: 256, until: STARTED });
    expect(console).toMatch(STARTED);
  });

  it.for([
    ["the superblock", () => DATA_START + 1024],
    ["the agent's bundle", () => fileStart("/usr/lib/nacre/kata-agent.mjs") + 100],
    ["the root of the hash tree", () => treeStart() + 8],
    // Below the root lie the hashes of the data, 128 a block: this one covers the beginning of the agent's bundle.
    [
      "a leaf of the hash tree",
      () =>
        treeStart() + leafLevel() + Math.floor((fileStart("/usr/lib/nacre/kata-agent.mjs") - DATA_START) / BLOCK) * 32,
    ],
  ] as const)("does not run with one bit flipped in %s", async ([, at]) => {
    const console = await bootFlipped(at());
    expect(console).toContain("dm-verity device corrupted");
    expect(console).toMatch(/Kernel panic - not syncing/u);
    // The agent's first line.
    expect(console).not.toContain("server_addr");
  });

  it.for([
    [
      "without a root to open",
      (line: string) => line.replace(/dm-mod\.create="[^"]*"/u, ""),
      "expected a measured root",
    ],
    [
      "with the partition as its root",
      (line: string) => line.replace("/dev/dm-0", "/dev/vda1"),
      "expected root=/dev/dm-0",
    ],
    [
      "with corruption ignored",
      (line: string) => line.replace(/"( root=)/u, ' 1 ignore_corruption"$1'),
      "expected the root that this initramfs was built for",
    ],
    // Also where the host has a disk to go with it: the initramfs has its root's parameters in it.
    [
      "with another root hash",
      (line: string) =>
        line.replace(
          image.rootHash,
          image.rootHash.replace(/^./u, (digit) => (digit === "0" ? "1" : "0")),
        ),
      "expected the root that this initramfs was built for",
    ],
    [
      "with fewer levels of the hash tree",
      (line: string) => line.replace(/ 4096 4096 \d+ 0 /u, " 4096 4096 128 0 "),
      "expected the root that this initramfs was built for",
    ],
    [
      "with a table that the kernel refuses",
      (line: string) => line.replace("/dev/vda1 /dev/vda2", "/dev/vda2 /dev/vda1"),
      "load verity table",
    ],
  ] as const)("says so and powers off %s", async ([, change, message]) => {
    const console = await bootImage(image, { commandLine: change(image.commandLine), until: STARTED });
    expect(console).toMatch(new RegExp(`nacre stage1: .*${message}`, "u"));
    expect(console).toContain("reboot: Power down");
  });

  it("says so and powers off when the disk does not appear", async () => {
    const console = await bootImage(image, { disk: null, until: STARTED });
    expect(console).toContain("nacre stage1: device did not appear: /dev/vda1");
    expect(console).toContain("reboot: Power down");
  });
});

/** Bytes of the hash tree above its leaves: one block a level while one suffices. */
function leafLevel(): number {
  const blocks = Number(/ 4096 4096 (\d+) 0 /u.exec(image.commandLine)?.[1]);
  const leaves = Math.ceil(blocks / 128);
  let above = 0;
  for (let level = leaves; level > 1;) {
    level = Math.ceil(level / 128);
    above += level;
  }
  return above * BLOCK;
}
