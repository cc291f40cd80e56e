import {
  closeSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { FileType, OpenFlag, SafeRoot, SysError } from "../src/index.ts";

let top: string;
let root: string;
let outside: string;

beforeEach(() => {
  top = mkdtempSync(join(tmpdir(), "safe-root-"));
  root = join(top, "root");
  outside = join(top, "outside");
  mkdirSync(root);
  mkdirSync(outside);
  writeFileSync(join(outside, "secret"), "secret");
});

afterEach(() => {
  rmSync(top, { recursive: true, force: true });
});

function codeOf(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    expect(error).toBeInstanceOf(SysError);
    return (error as SysError).code;
  }
  return "none";
}

function create(safe: SafeRoot, path: string | Uint8Array, text = ""): void {
  const fd = safe.createFile(path, 0o644);
  writeSync(fd, text);
  closeSync(fd);
}

describe("SafeRoot", () => {
  it("creates, reads, links, renames and removes inside the root", async () => {
    using safe = SafeRoot.open(root);
    safe.mkdirs("a/b/c");
    safe.mkdirs("a/b/c");
    create(safe, "a/b/c/file", "hello");
    safe.link("a/b/c/file", "a/hard");
    safe.symlink("b/c/file", "a/soft");
    safe.rename("a/hard", "a/harder");
    safe.mknod("a/fifo", FileType.FIFO | 0o600);
    safe.chmod("a/harder", 0o4711);
    safe.utimes("a/soft", undefined, -2_500_000_000n);
    safe.utimes("a/fifo", 1_500_000_000n, undefined);

    expect(readFileSync(join(root, "a/harder"), "utf8")).toBe("hello");
    expect(lstatSync(join(root, "a/harder")).nlink).toBe(2);
    expect(lstatSync(join(root, "a/b/c/file")).mode & 0o7777).toBe(0o4711);
    expect(safe.readlink("a/soft").toString()).toBe("b/c/file");
    expect(safe.lstat("a/soft")).toMatchObject({ mtimeNs: -2_500_000_000n });
    expect(safe.lstat("a/fifo")?.atimeNs).toBe(1_500_000_000n);
    expect((safe.lstat("a/fifo")?.mode ?? 0) & FileType.MASK).toBe(FileType.FIFO);
    expect(safe.lstat("a/absent")).toBeUndefined();
    expect(new Set(safe.readdir("a").map(String))).toEqual(new Set(["b", "fifo", "harder", "soft"]));

    safe.unlink("a/fifo");
    expect(codeOf(() => safe.rmdir("a"))).toBe("ENOTEMPTY");
    await safe.removeTree("a");
    await safe.removeTree("a");
    await safe.removeTree("never/was");
    expect(safe.lstat("a")).toBeUndefined();
    expect(safe.lstat("")?.mode).toBe(lstatSync(root).mode);
  });

  it.each(["../outside/secret", "/../../outside/secret", "a/../../../outside/secret"])(
    "treats the root as / for %s",
    (path) => {
      using safe = SafeRoot.open(root);
      safe.mkdir("a", 0o755);
      expect(codeOf(() => safe.openFile(path, OpenFlag.RDONLY))).toBe("ENOENT");
      safe.mkdirs("outside");
      create(safe, path, "inside");
      expect(readFileSync(join(root, "outside/secret"), "utf8")).toBe("inside");
      expect(readFileSync(join(outside, "secret"), "utf8")).toBe("secret");
    },
  );

  it.each(["../outside", "/", "a/../../outside"])("beneath: refuses %s", (path) => {
    using safe = SafeRoot.open(root, { beneath: true });
    safe.mkdir("a", 0o755);
    expect(codeOf(() => safe.openFile(path, OpenFlag.RDONLY))).toBe("EXDEV");
    expect(codeOf(() => create(safe, `${path}/new`))).toBe("EXDEV");
  });

  it("resolves planted symbolic links inside the root", () => {
    symlinkSync(outside, join(root, "absolute"));
    symlinkSync("../outside", join(root, "relative"));
    symlinkSync("/proc/self/root", join(root, "magic"));
    symlinkSync("loop", join(root, "loop"));
    using safe = SafeRoot.open(root);
    for (const link of ["absolute", "relative", "magic"]) {
      expect(codeOf(() => create(safe, `${link}/new`))).toBe("ENOENT");
      expect(codeOf(() => safe.mkdirs(`${link}/new`))).toBe("ENOENT");
      expect(codeOf(() => safe.openFile(link, OpenFlag.RDONLY))).toBe("ENOENT");
    }
    expect(codeOf(() => safe.openFile("loop/x", OpenFlag.RDONLY))).toBe("ELOOP");
    expect(existsSync(join(outside, "new"))).toBe(false);
  });

  it("never follows the last component when it changes something", async () => {
    symlinkSync(join(outside, "secret"), join(root, "link"));
    symlinkSync(outside, join(root, "dir"));
    using safe = SafeRoot.open(root);
    expect(codeOf(() => safe.createFile("link", 0o644))).toBe("EEXIST");
    expect(codeOf(() => safe.chmod("link", 0o777))).toBe("EOPNOTSUPP");
    safe.utimes("link", 0n, 0n);
    safe.link("link", "second");
    expect(readlinkSync(join(root, "second"))).toBe(join(outside, "secret"));
    await safe.removeTree("dir");
    safe.unlink("link");
    expect(readFileSync(join(outside, "secret"), "utf8")).toBe("secret");
    expect(lstatSync(join(outside, "secret")).mtimeMs).not.toBe(0);
  });

  it.each(["", "/", ".", "a/.", "..", "a/.."])("refuses %j where a name is created or removed", async (path) => {
    using safe = SafeRoot.open(root);
    safe.mkdir("a", 0o755);
    expect(codeOf(() => safe.createFile(path, 0o644))).toBe("EINVAL");
    expect(codeOf(() => safe.mkdir(path, 0o755))).toBe("EINVAL");
    expect(codeOf(() => safe.rename("a", path))).toBe("EINVAL");
    await expect(safe.removeTree(path)).rejects.toMatchObject({ code: "EINVAL" });
    expect(existsSync(join(root, "a"))).toBe(true);
  });

  it("refuses a NUL, which would cut the path short", () => {
    using safe = SafeRoot.open(root);
    expect(codeOf(() => safe.createFile("a\0b", 0o644))).toBe("EINVAL");
    expect(codeOf(() => safe.createFile(Buffer.from("a\0b"), 0o644))).toBe("EINVAL");
    expect(codeOf(() => safe.symlink("x\0y", "z"))).toBe("EINVAL");
    expect(safe.readdir("")).toEqual([]);
  });

  it("keeps names that are not UTF-8", () => {
    using safe = SafeRoot.open(root, { cachedDirectories: 2 });
    const name = Buffer.from([0x64, 0xff, 0x2f, 0x66, 0xfe]);
    safe.mkdirs(name.subarray(0, 2));
    create(safe, name);
    expect(safe.readdir(name.subarray(0, 2))).toEqual([Buffer.from([0x66, 0xfe])]);
    expect(codeOf(() => create(safe, name))).toBe("EEXIST");
  });

  it("forgets kept directories when one is renamed or removed", () => {
    using safe = SafeRoot.open(root, { cachedDirectories: 2 });
    safe.mkdirs("a/b");
    create(safe, "a/b/1");
    safe.rename("a", "c");
    safe.mkdirs("a/b");
    create(safe, "a/b/2");
    safe.mkdirs("d/e");
    create(safe, "d/e/3");
    expect(existsSync(join(root, "c/b/1"))).toBe(true);
    expect(existsSync(join(root, "a/b/2"))).toBe(true);
    expect(existsSync(join(root, "d/e/3"))).toBe(true);
  });

  it("removes a tree deeper than any path may be long", async () => {
    using safe = SafeRoot.open(root);
    safe.mkdir("deep", 0o755);
    let level = SafeRoot.open(join(root, "deep"));
    const name = "d".repeat(200);
    for (let depth = 0; depth < 150; depth += 1) {
      level.mkdir(name, 0o755);
      create(level, "f");
      const next = level.openRoot(name);
      level.close();
      level = next;
    }
    level.close();
    // Names that removal itself might use while it moves what is deep down.
    for (let n = 0; n < 4; n += 1) safe.mkdir(`deep/.removing-${process.pid}-${n}`, 0o755);
    await safe.removeTree("deep");
    expect(safe.readdir("")).toEqual([]);
  });

  it("closes what it opened", () => {
    for (let round = 0; round < 8; round += 1) {
      using safe = SafeRoot.open(root, { cachedDirectories: 3 });
      safe.mkdirs(`r${round}/a/b`);
      create(safe, `r${round}/a/f`);
      codeOf(() => safe.mkdir("no/such", 0o755));
    }
    const open = readdirSync("/proc/self/fd").map((fd) => {
      try {
        return readlinkSync(`/proc/self/fd/${fd}`);
      } catch {
        return "the listing's own";
      }
    });
    expect(open.filter((path) => path.startsWith(root))).toEqual([]);
  });
});
