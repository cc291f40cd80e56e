import { execFileSync } from "node:child_process";
import { closeSync, fstatSync, mkdirSync, mkdtempDisposableSync, openSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { setTimeout } from "node:timers/promises";

import { startGuest } from "@nacre/cli";
import koffi from "koffi";

import { HOST_ARCH } from "./arch.ts";
import { lockedNpmPackage } from "./npm-package.ts";
import { BLOCK_PAGES, formatRanges, MEASURED_PAGES, measuredPages, PAGE_SIZE } from "./node-pages.ts";
import { TREE } from "./paths.ts";

// Measures which pages of Node a guest reads until its daemons are settled, and writes them to node-pages.json. As root,
// after `make tree`: the tree is put on a file system without read-ahead, a simulated guest runs on it, and what lies in
// the page cache then is what was asked for.

/** The hub rehearses a pull after the agent answers. */
const SETTLED_MS = 10_000;
const PROT_READ = 1;
const MAP_SHARED = 1;

using work = mkdtempDisposableSync("/var/tmp/node-pages-");
const [image, mount] = ["tree.erofs", "tree"].map((name) => join(work.path, name)) as [string, string];
mkdirSync(mount);
run("mkfs.erofs", image, TREE);
const device = run("losetup", "--find", "--show", "--read-only", image).trim();
try {
  run("mount", "-t", "erofs", "-o", "ro", device, mount);
  try {
    writeFileSync(`/sys/block/${basename(device)}/queue/read_ahead_kb`, "0");
    {
      await using _guest = await startGuest({ tree: mount });
      await setTimeout(SETTLED_MS);
    }
    const blocks = cachedPages(join(mount, "usr/bin/node")).map((page) => Math.floor(page / BLOCK_PAGES));
    const { version } = lockedNpmPackage(`node-linux-${HOST_ARCH}`);
    const before = measuredPages();
    // Of another version the other architecture's list says nothing any more.
    const kept = before.node === version ? before : {};
    const pages = { ...kept, node: version, [HOST_ARCH]: formatRanges(blocks) };
    writeFileSync(MEASURED_PAGES, `${JSON.stringify(pages, undefined, 2)}\n`);
  } finally {
    run("umount", mount);
  }
} finally {
  run("losetup", "--detach", device);
}

function run(file: string, ...args: readonly string[]): string {
  return execFileSync(file, args, { encoding: "utf8", stdio: ["ignore", "pipe", "inherit"] });
}

/** Numbers of the file's pages that are in memory (mincore(2)). */
function cachedPages(path: string): readonly number[] {
  const libc = koffi.load("libc.so.6");
  const map = libc.func("void *mmap(void *at, size_t length, int rights, int flags, int fd, int64_t offset)");
  const look = libc.func("int mincore(void *at, size_t length, _Out_ uint8_t *vector)");
  const unmap = libc.func("int munmap(void *at, size_t length)");
  const fd = openSync(path, "r");
  const { size } = fstatSync(fd);
  const vector = Buffer.alloc(Math.ceil(size / PAGE_SIZE));
  const at: unknown = map(null, size, PROT_READ, MAP_SHARED, fd, 0);
  closeSync(fd);
  if (look(at, size, vector) !== 0) throw new Error(`mincore ${path}: expected the state of its pages, got an error`);
  unmap(at, size);
  return [...vector.keys()].filter((page) => ((vector[page] ?? 0) & 1) === 1);
}
