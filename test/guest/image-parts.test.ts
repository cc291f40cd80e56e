import { execFileSync, spawnSync } from "node:child_process";
import {
  chmodSync,
  mkdirSync,
  mkdtempDisposableSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { describe, expect, it } from "vitest";

import { cpio, S_IFCHR, S_IFDIR, S_IFLNK, S_IFREG } from "../../guest-rootfs/image/cpio.ts";
import { mbr, writeDisk } from "../../guest-rootfs/image/disk.ts";
import { makeErofs, uuidOf } from "../../guest-rootfs/image/erofs.ts";
import { formatVerity, verityParamsText, verityRootParams } from "../../guest-rootfs/image/verity.ts";

const run = (command: string, ...args: string[]): string => execFileSync(command, args, { encoding: "utf8" });

/** A small root: a folder, a link, a program, a file of some blocks. */
function smallRoot(folder: string): string {
  const root = join(folder, "root");
  mkdirSync(join(root, "sub"), { recursive: true });
  writeFileSync(join(root, "sub/program"), "#!\n");
  chmodSync(join(root, "sub/program"), 0o755);
  writeFileSync(join(root, "numbers"), Array.from({ length: 50_000 }, (_, i) => `${i}\n`).join(""));
  symlinkSync("sub/program", join(root, "link"));
  return root;
}

describe("the initramfs archive", () => {
  it("is what cpio reads: files, folders, links, devices", () => {
    const archive = cpio([
      { path: "dev", mode: S_IFDIR | 0o755 },
      { path: "dev/console", mode: S_IFCHR | 0o600, device: { major: 5, minor: 1 } },
      { path: "init", mode: S_IFREG | 0o755, bytes: Buffer.from("12345") },
      { path: "sh", mode: S_IFLNK | 0o777, bytes: Buffer.from("init") },
    ]);
    const listed = execFileSync("/usr/bin/cpio", ["-itv", "--quiet", "--numeric-uid-gid"], {
      input: archive,
      encoding: "utf8",
    });
    expect(listed.split("\n").map((line) => line.replaceAll(/ +/gu, " "))).toEqual([
      "drwxr-xr-x 2 0 0 0 Jan 1 1970 dev",
      "crw------- 1 0 0 5, 1 Jan 1 1970 dev/console",
      "-rwxr-xr-x 1 0 0 5 Jan 1 1970 init",
      "lrwxrwxrwx 1 0 0 4 Jan 1 1970 sh -> init",
      "",
    ]);
  });

  it("holds the bytes of its files, whatever their length", () => {
    using folder = mkdtempDisposableSync(join(tmpdir(), "cpio-"));
    const files = [0, 1, 2, 3, 4, 5].map((n) => ({
      path: `f${n}`,
      mode: S_IFREG | 0o644,
      bytes: Buffer.alloc(n, 65 + n),
    }));
    execFileSync("/usr/bin/cpio", ["-i", "--quiet"], { input: cpio(files), cwd: folder.path });
    for (const { path, bytes } of files) expect(readFileSync(join(folder.path, path))).toEqual(bytes);
  });
});

describe("the disk", () => {
  it("has the partitions that sfdisk reads, with the files' bytes in them", async () => {
    using folder = mkdtempDisposableSync(join(tmpdir(), "disk-"));
    const [one, two, disk] = ["one", "two", "disk"].map((name) => join(folder.path, name)) as [string, string, string];
    writeFileSync(one, Buffer.alloc((1 << 20) + 4096, 1));
    writeFileSync(two, Buffer.alloc(8192, 2));
    await writeDisk(disk, [one, two]);
    const { partitiontable: table } = JSON.parse(run("/sbin/sfdisk", "--json", disk)) as {
      partitiontable: { label: string; partitions: { start: number; size: number; type: string }[] };
    };
    expect(table.label).toBe("dos");
    expect(table.partitions.map(({ start, size, type }) => [start, size, type])).toEqual([
      [2048, 2056, "83"],
      [6144, 16, "83"],
    ]);
    const bytes = readFileSync(disk);
    expect(bytes.subarray(2048 * 512, 4104 * 512).equals(readFileSync(one))).toBe(true);
    expect(bytes.subarray(6144 * 512, 6160 * 512).equals(readFileSync(two))).toBe(true);
    expect(bytes.length % (1 << 20)).toBe(0);
  });

  it("has at most four of them", () => {
    expect(() => mbr(Array.from({ length: 5 }, () => ({ start: 512, size: 512 })))).toThrow(
      "at most 4 partitions, got 5",
    );
  });
});

describe("the file system", () => {
  it("is sound, owned by root, without times, and holds the folder", () => {
    using folder = mkdtempDisposableSync(join(tmpdir(), "erofs-"));
    const image = join(folder.path, "image");
    makeErofs(smallRoot(folder.path), image, "content");
    run("/usr/bin/fsck.erofs", image);
    const superblock = run("/usr/bin/dump.erofs", "-s", image);
    expect(superblock).toContain(uuidOf("content"));
    expect(superblock).toMatch(/Filesystem created: +Thu Jan +1 00:00:00 1970/u);
    const program = run("/usr/bin/dump.erofs", "--path=/sub/program", image);
    expect(program).toMatch(/Uid: 0 +Gid: 0 +Access: 0755/u);
  });

  it("is what this machine's kernel mounts and reads", (context) => {
    if (!readFileSync("/proc/filesystems", "utf8").includes("erofs")) context.skip("this kernel has no erofs");
    using folder = mkdtempDisposableSync(join(tmpdir(), "erofs-"));
    const image = join(folder.path, "image");
    const root = smallRoot(folder.path);
    makeErofs(root, image, "content");
    const at = join(folder.path, "mounted");
    mkdirSync(at);
    run("/bin/mount", "-t", "erofs", "-o", "loop,ro", image, at);
    try {
      expect(readFileSync(join(at, "numbers")).equals(readFileSync(join(root, "numbers")))).toBe(true);
      expect(statSync(join(at, "link")).mode & 0o777).toBe(0o755);
      expect(statSync(join(at, "sub")).mtimeMs).toBe(0);
    } finally {
      run("/bin/umount", at);
    }
  });

  it("is named after its content by a UUID of version 8", () => {
    expect(uuidOf("a")).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/u);
    expect(uuidOf("a")).not.toBe(uuidOf("b"));
  });
});

describe("the hash tree", () => {
  it("is what veritysetup verifies, and no longer with one bit flipped", async () => {
    using folder = mkdtempDisposableSync(join(tmpdir(), "verity-"));
    const [image, tree] = ["image", "tree"].map((name) => join(folder.path, name)) as [string, string];
    makeErofs(smallRoot(folder.path), image, "content");
    const params = await formatVerity(image, tree);
    const verify = (): number | null => {
      const options = [
        `--salt=${params.salt}`,
        `--data-blocks=${params.dataBlocks}`,
        "--no-superblock",
        "--hash=sha256",
      ];
      return spawnSync("/usr/sbin/veritysetup", ["verify", ...options, image, tree, params.rootHash]).status;
    };
    expect(verify()).toBe(0);
    for (const [file, at] of [
      [image, 1024],
      [image, statSync(image).size - 1],
      [tree, 0],
    ] as const) {
      flip(file, at);
      expect(verify()).not.toBe(0);
      flip(file, at);
    }
    expect(verify()).toBe(0);
  });

  it("is told in Kata's words", () => {
    const params = { rootHash: "aa", salt: "bb", dataBlocks: 10, dataBlockSize: 4096, hashBlockSize: 4096 };
    expect(verityParamsText(params)).toBe(
      "root_hash=aa,salt=bb,data_blocks=10,data_block_size=4096,hash_block_size=4096",
    );
    expect(verityRootParams(params)).toBe(
      'dm-mod.create="dm-verity,,,ro,0 80 verity 1 /dev/vda1 /dev/vda2 4096 4096 10 0 sha256 aa bb" ' +
        "root=/dev/dm-0 rootflags=ro rootfstype=erofs",
    );
  });

  it("refuses data that are no whole blocks", async () => {
    using folder = mkdtempDisposableSync(join(tmpdir(), "verity-"));
    const image = join(folder.path, "image");
    writeFileSync(image, "short");
    await expect(formatVerity(image, join(folder.path, "tree"))).rejects.toThrow(
      "expected whole blocks of 4096, got 5 bytes",
    );
  });
});

function flip(file: string, at: number): void {
  const bytes = readFileSync(file);
  bytes[at] = (bytes[at] ?? 0) ^ 1;
  writeFileSync(file, bytes);
}
