import { spawnSync } from "node:child_process";
import {
  chmodSync,
  chownSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { afterAll, beforeEach, describe, expect, it } from "vitest";
import { FileType, linuxSyscalls } from "@nacre/kata-sys-util";
import { PullError } from "../../packages/image-puller/src/index.ts";
import { LayerUnpack, type UnpackedLayer } from "../../packages/image-puller/src/unpack/layer-unpack.ts";
import { sha256 } from "../fixtures/image.ts";
import { paxRecord, tar, type TarEntry, tarMember } from "../fixtures/tar.ts";
import { vectors } from "../setup/data.ts";
import { seeded } from "../fixtures/seeded.ts";

const sys = linuxSyscalls();
const started = Date.now() - 1000;
const base = mkdtempSync(join(tmpdir(), "nacre-unpack-"));
afterAll(() => rmSync(base, { recursive: true, force: true }));

let root = "";
beforeEach(() => {
  root = mkdtempSync(join(base, "root-"));
});

async function unpack(
  archive: Buffer,
  options: {
    blob?: Buffer;
    compression?: "none" | "gzip" | "zstd";
    digest?: string;
    diffId?: string;
    piece?: number;
  } = {},
): Promise<UnpackedLayer> {
  const blob = options.blob ?? archive;
  const layer = new LayerUnpack(sys, {
    directory: root,
    compression: options.compression ?? "none",
    digest: options.digest ?? sha256(blob),
    diffId: options.diffId ?? sha256(archive),
  });
  try {
    const piece = options.piece ?? 100_000;
    for (let at = 0; at < blob.length; at += piece) await layer.feed(blob.subarray(at, at + piece));
    return await layer.finish();
  } finally {
    layer.close();
  }
}

const unpackEntries = async (...entries: TarEntry[]): Promise<UnpackedLayer> => await unpack(tar(entries));

/** Everything that a layer's files are made of, by path. Hard links are told by the first path of their inode. */
function describeTree(at: string): Record<string, unknown> {
  const result: Record<string, unknown> = {};
  const inodes = new Map<number, string>();
  for (const path of (readdirSync(at, { recursive: true }) as string[]).toSorted()) {
    const full = join(at, path);
    const status = lstatSync(full);
    const xattrs = sys.llistxattr(full).map((name) => [name, sys.lgetxattr(full, name).toString("latin1")]);
    const first = inodes.get(status.ino);
    inodes.set(status.ino, first ?? path);
    result[path] = {
      mode: status.mode.toString(8),
      owner: `${status.uid}:${status.gid}`,
      // A directory that the archive does not give has the time of unpacking.
      mtime: status.mtimeMs > started ? "now" : Math.round(status.mtimeMs),
      device: status.rdev,
      xattrs,
      ...(first === undefined || status.isDirectory() ? {} : { sameAs: first }),
      ...(status.isFile() ? { data: readFileSync(full, "latin1") } : {}),
      ...(status.isSymbolicLink() ? { link: readlinkSync(full) } : {}),
    };
  }
  return result;
}

function gnuTar(args: readonly string[]): void {
  const run = spawnSync("tar", args, { encoding: "utf8" });
  if (run.status !== 0) throw new Error(`tar ${args.join(" ")}: ${run.stderr}`);
}

describe("a layer against GNU tar", () => {
  function makeTree(at: string): void {
    mkdirSync(join(at, "d/e"), { recursive: true });
    writeFileSync(join(at, "d/file"), "content\n");
    writeFileSync(join(at, "d/large"), Buffer.alloc(300_000, "abc"));
    writeFileSync(join(at, "d/empty"), "");
    writeFileSync(join(at, "ping"), "#!/bin/sh\n");
    chownSync(join(at, "ping"), 1000, 2000);
    chmodSync(join(at, "ping"), 0o4755);
    sys.lsetxattr(
      join(at, "ping"),
      "security.capability",
      Buffer.from("0100000200200000000000000000000000000000", "hex"),
    );
    sys.lsetxattr(join(at, "d"), "trusted.note", Buffer.from([0, 1, 255]));
    linkSync(join(at, "d/file"), join(at, "hard"));
    symlinkSync("d/file", join(at, "soft"));
    symlinkSync("/absolute/nowhere", join(at, "d/absolute"));
    sys.mknodat(-100, join(at, "null"), FileType.CHARACTER | 0o666, 1, 3);
    sys.mknodat(-100, join(at, "disk"), FileType.BLOCK | 0o660, 8, 257);
    sys.mknodat(-100, join(at, "pipe"), FileType.FIFO | 0o600, 0, 0);
    mkdirSync(join(at, "l".repeat(80)));
    writeFileSync(join(at, "l".repeat(80), "n".repeat(90)), "long name");
    mkdirSync(join(at, "closed"), { mode: 0o700 });
    writeFileSync(join(at, "closed/inside"), "x");
    chmodSync(join(at, "closed"), 0o1000);
    utimesSync(join(at, "d"), 1_000_000_000, 1_000_000_000);
    utimesSync(join(at, "d/file"), 1_100_000_000, 1_100_000_000);
  }

  it.each(["gnu", "posix", "ustar"])("format %s", async (format) => {
    const source = mkdtempSync(join(base, "source-"));
    makeTree(source);
    const archive = join(base, `${format}.tar`);
    gnuTar([
      "-C",
      source,
      `--format=${format}`,
      ...(format === "posix" ? ["--xattrs", "--xattrs-include=*"] : []),
      "-cf",
      archive,
      ".",
    ]);
    const expected = mkdtempSync(join(base, "expected-"));
    gnuTar(["-C", expected, "--xattrs", "--xattrs-include=*", "--same-owner", "--numeric-owner", "-p", "-xf", archive]);

    const result = await unpack(readFileSync(archive));
    expect(describeTree(root)).toEqual(describeTree(expected));
    expect(result.entries).toBe(readdirSync(source, { recursive: true }).length + 1);
    const rootStatus = lstatSync(root);
    expect([rootStatus.mode, Math.round(rootStatus.mtimeMs)]).toEqual([
      lstatSync(expected).mode,
      Math.round(lstatSync(expected).mtimeMs),
    ]);
  });

  const recorded = vectors("tar");
  it("recorded archives", async () => {
    // Where the vectors are absent an archive of our own takes their place.
    const own = join(base, "own.tar");
    writeFileSync(
      own,
      tar([
        { name: "a/", type: "5" },
        { name: "a/b", data: "x" },
      ]),
    );
    const files =
      recorded === undefined
        ? [own]
        : [
            "one-file",
            "multi-file",
            "pax",
            "types",
            "unicode",
            "gnu",
            "gnu-long-path",
            "long-name",
            "space",
            "v7",
            "name-is-100",
          ].map((name) => join(recorded, "tar-stream", `${name}.tar`));
    for (const path of files) {
      root = mkdtempSync(join(base, "root-"));
      const expected = mkdtempSync(join(base, "expected-"));
      gnuTar(["-C", expected, "--same-owner", "--numeric-owner", "-p", "-xf", path]);
      await unpack(readFileSync(path));
      expect(describeTree(root), path).toEqual(describeTree(expected));
    }
  });
});

describe("names and links stay inside the layer", () => {
  const outside = join(base, "outside");
  beforeEach(() => {
    rmSync(outside, { recursive: true, force: true });
    mkdirSync(outside);
    writeFileSync(join(outside, "victim"), "untouched");
  });

  it.each([
    ["..", "../outside/x"],
    [".. in the middle", "a/../../outside/x"],
    [".. at the end", "a/.."],
    ["absolute ..", "/../outside/x"],
  ])("refuses %s by name", async (_, name) => {
    await expect(unpackEntries({ name, data: "x" })).rejects.toThrow(
      expect.objectContaining({ code: "unsafe", message: expect.stringContaining("has a .. in its path") }) as Error,
    );
    expect(readdirSync(outside)).toEqual(["victim"]);
  });

  it("makes an absolute name relative to the root", async () => {
    await unpackEntries({ name: "/etc/x", data: "1" });
    expect(readFileSync(join(root, "etc/x"), "utf8")).toBe("1");
  });

  it("resolves parents that are symbolic links inside the root, absolute and climbing ones too", async () => {
    await unpackEntries(
      { name: "run/", type: "5" },
      { name: "var/run", type: "2", link: "/run" },
      { name: "var/run/absolute", data: "1" },
      { name: "climb", type: "2", link: `${"../".repeat(20)}run` },
      { name: "climb/relative", data: "2" },
      { name: "real", type: "2", link: outside },
      { name: "real/planted", data: "3" },
    );
    expect(readdirSync(join(root, "run")).toSorted()).toEqual(["absolute", "relative"]);
    expect(readFileSync(join(root, outside, "planted"), "utf8")).toBe("3");
    expect(readdirSync(outside)).toEqual(["victim"]);
  });

  it("creates what a dangling link points to, inside the root", async () => {
    await unpackEntries(
      { name: "var/run", type: "2", link: "/run/deeper" },
      { name: "var/run/x", data: "1" },
      { name: "a/b", type: "2", link: "../../../../c" },
      { name: "a/b/y", data: "2" },
    );
    expect(readFileSync(join(root, "run/deeper/x"), "utf8")).toBe("1");
    expect(readFileSync(join(root, "c/y"), "utf8")).toBe("2");
  });

  it("does not write through a symbolic link", async () => {
    await unpackEntries(
      { name: "l", type: "2", link: join(outside, "victim") },
      { name: "l", data: "replaced" },
      { name: "d", type: "2", link: outside },
      { name: "d/", type: "5", mode: 0o777 },
      { name: "d/x", data: "1" },
    );
    expect(readFileSync(join(outside, "victim"), "utf8")).toBe("untouched");
    expect(readdirSync(outside)).toEqual(["victim"]);
    expect(readFileSync(join(root, "l"), "utf8")).toBe("replaced");
    expect(lstatSync(join(root, "d")).isDirectory()).toBe(true);
  });

  it("does not follow a link that changes under an open directory", async () => {
    await unpackEntries(
      { name: "a/", type: "5" },
      { name: "a/one", data: "1" },
      { name: "a", type: "2", link: outside },
      { name: "a/two", data: "2" },
    );
    expect(readdirSync(outside)).toEqual(["victim"]);
    expect(readFileSync(join(root, outside, "two"), "utf8")).toBe("2");
  });

  it("sets no attribute through a symbolic link", async () => {
    const before = lstatSync(join(outside, "victim"));
    await unpackEntries({
      name: "l",
      type: "2",
      link: join(outside, "victim"),
      uid: 7,
      gid: 7,
      mode: 0o777,
      mtime: 5,
      pax: { "SCHILY.xattr.trusted.x": "y" },
    });
    const after = lstatSync(join(outside, "victim"));
    expect([after.uid, after.gid, after.mode, after.mtimeMs]).toEqual([
      before.uid,
      before.gid,
      before.mode,
      before.mtimeMs,
    ]);
    expect(lstatSync(join(root, "l"))).toMatchObject({ uid: 7, gid: 7, mtimeMs: 5000 });
    expect(sys.llistxattr(join(outside, "victim"))).toEqual([]);
  });

  it.each([
    ["climbs", "../../outside/victim", "unsafe", "has a .. in its path"],
    ["is outside", "/outside/victim", "unsupported", "which is not in this layer"],
    ["is a directory", "a", "unsafe", "hard link to the directory"],
    ["is the root", "/", "unsupported", "which is not in this layer"],
    ["was deleted by the layer", "gone", "unsupported", "which is not in this layer"],
  ])("refuses a hard link whose target %s", async (_, link, code, why) => {
    const entries: TarEntry[] = [{ name: "a/", type: "5" }, { name: ".wh.gone" }, { name: "h", type: "1", link }];
    await expect(unpackEntries(...entries)).rejects.toMatchObject({
      code,
      message: expect.stringContaining(why) as string,
    });
  });

  it("reaches a hard link's target through links inside the root only", async () => {
    await expect(
      unpackEntries({ name: "out", type: "2", link: outside }, { name: "h", type: "1", link: "out/victim" }),
    ).rejects.toMatchObject({ code: "unsupported" });
    await unpackEntries({ name: "s", type: "2", link: join(outside, "victim") }, { name: "h", type: "1", link: "s" });
    expect(readlinkSync(join(root, "h"))).toBe(join(outside, "victim"));
  });

  it("refuses a parent that is a file, and links in a circle", async () => {
    await expect(unpackEntries({ name: "f" }, { name: "f/x" })).rejects.toMatchObject({ code: "unsafe" });
    root = mkdtempSync(join(base, "root-"));
    await expect(
      unpackEntries({ name: "a", type: "2", link: "b" }, { name: "b", type: "2", link: "a" }, { name: "a/x" }),
    ).rejects.toMatchObject({ code: "unsafe" });
  });
});

describe("later members", () => {
  it("replace earlier ones of any kind", async () => {
    await unpackEntries(
      { name: "1", data: "old" },
      { name: "1", data: "new" },
      { name: "2/", type: "5" },
      { name: "2/x/y", data: "deep" },
      { name: "2", data: "file" },
      { name: "3", data: "file" },
      { name: "3/", type: "5", mode: 0o700 },
      { name: "4", type: "2", link: "1" },
      { name: "4", type: "1", link: "1" },
      { name: "5", type: "1", link: "1" },
      { name: "5", type: "1", link: "1" },
      { name: "1", type: "1", link: "1" },
      { name: "6/", type: "5", mode: 0o700, mtime: 5 },
      { name: "6/in", data: "kept" },
      { name: "6/", type: "5", mode: 0o711, mtime: 6 },
    );
    expect(readFileSync(join(root, "1"), "utf8")).toBe("new");
    expect(readFileSync(join(root, "2"), "utf8")).toBe("file");
    expect(lstatSync(join(root, "3")).isDirectory()).toBe(true);
    expect(lstatSync(join(root, "1"))).toMatchObject({ nlink: 3 });
    expect(lstatSync(join(root, "6"))).toMatchObject({ mode: 0o40711, mtimeMs: 6000 });
    expect(readFileSync(join(root, "6/in"), "utf8")).toBe("kept");
  });

  it("do not change a file through its other name", async () => {
    await unpackEntries(
      { name: "a", data: "first" },
      { name: "b", type: "1", link: "a" },
      { name: "b", data: "second" },
    );
    expect([readFileSync(join(root, "a"), "utf8"), readFileSync(join(root, "b"), "utf8")]).toEqual(["first", "second"]);
  });
});

describe("whiteouts", () => {
  const isWhiteout = (path: string): boolean => {
    const status = lstatSync(join(root, path));
    return status.isCharacterDevice() && status.rdev === 0;
  };
  const isOpaque = (path: string): boolean => sys.llistxattr(join(root, path)).includes("trusted.overlay.opaque");

  it("become devices 0:0, also below directories that the layer does not have", async () => {
    await unpackEntries({ name: ".wh.a" }, { name: "d/e/.wh.b" });
    expect([isWhiteout("a"), isWhiteout("d/e/b")]).toEqual([true, true]);
  });

  it("make a directory opaque, before or after it is given", async () => {
    await unpackEntries(
      { name: "d/.wh..wh..opq" },
      { name: "d/", type: "5", mode: 0o700 },
      { name: "d/x" },
      { name: "e/", type: "5" },
      { name: "e/.wh..wh..opq" },
    );
    expect([isOpaque("d"), isOpaque("e")]).toEqual([true, true]);
    expect(lstatSync(join(root, "d")).mode).toBe(0o40700);
  });

  it("hide the directory below when the layer has one of the same name", async () => {
    await unpackEntries(
      { name: ".wh.d" },
      { name: "d/", type: "5" },
      { name: "d/x" },
      { name: "e/", type: "5" },
      { name: ".wh.e" },
      { name: "f" },
      { name: ".wh.f" },
    );
    expect([isOpaque("d"), isOpaque("e")]).toEqual([true, true]);
    expect(lstatSync(join(root, "f")).isFile()).toBe(true);
  });

  it("say when they hide everything below", async () => {
    expect((await unpackEntries({ name: ".wh..wh..opq" })).opaqueRoot).toBe(true);
    root = mkdtempSync(join(base, "root-"));
    expect((await unpackEntries({ name: "a" })).opaqueRoot).toBe(false);
  });

  it("of AUFS's own are passed over", async () => {
    await unpackEntries({ name: ".wh..wh.aufs" }, { name: ".wh..wh.plnk/", type: "5" }, { name: "d/.wh..wh.orph" });
    expect(readdirSync(root)).toEqual([]);
  });

  it.each([".wh.", ".wh..", ".wh..."])("refuse %j", async (name) => {
    await expect(unpackEntries({ name })).rejects.toMatchObject({ code: "unsafe" });
  });

  it("cannot be made by other means", async () => {
    await expect(unpackEntries({ name: "x", type: "3" })).rejects.toThrow("a character device 0:0");
    root = mkdtempSync(join(base, "root-"));
    await unpackEntries({
      name: "d/",
      type: "5",
      pax: {
        "SCHILY.xattr.trusted.overlay.opaque": "y",
        "SCHILY.xattr.trusted.overlay.redirect": "/etc",
        "SCHILY.xattr.user.overlay.origin": "",
      },
    });
    expect(sys.llistxattr(join(root, "d"))).toEqual([]);
  });
});

describe("what is set on a file", () => {
  it("keeps capabilities and set-id bits, whatever the owner", async () => {
    const capability = Buffer.from("0100000200200000000000000000000000000000", "hex");
    await unpackEntries({
      name: "ping",
      uid: 1000,
      gid: 1000,
      mode: 0o6755,
      data: "x",
      pax: { "SCHILY.xattr.security.capability": capability },
    });
    expect(lstatSync(join(root, "ping"))).toMatchObject({ mode: 0o106755, uid: 1000, gid: 1000 });
    expect(sys.lgetxattr(join(root, "ping"), "security.capability")).toEqual(capability);
  });

  it("keeps names that are not UTF-8", async () => {
    await unpack(
      Buffer.concat([
        tarMember({ name: "x", type: "x", data: paxRecord("path", Buffer.from("d/\xe9\xff", "latin1")) }),
        tar([{ name: "y", data: "1" }]),
      ]),
    );
    expect(readdirSync(join(root, "d"), { encoding: "buffer" })).toEqual([Buffer.from("\xe9\xff", "latin1")]);
  });

  it("is complete even if the directory it is in may not be entered", async () => {
    await unpackEntries({ name: "d/", type: "5", mode: 0 }, { name: "d/x", data: "1", mtime: 7 });
    expect(lstatSync(join(root, "d/x")).mtimeMs).toBe(7000);
    expect(lstatSync(join(root, "d")).mode & 0o7777).toBe(0);
  });

  it.each([
    ["a sparse file", { name: "x", type: "S" }, "sparse files"],
    ["an unknown type", { name: "x", type: "V" }, 'members of type "V"'],
    ["an owner that chown takes for nobody", { name: "x", pax: { uid: "4294967295" } }, "owned by 4294967295"],
    ["a component that is too long", { name: "n".repeat(256) }, "longer than 255"],
    ["a path that is too deep", { name: "d/".repeat(1025) }, "deeper than 1024"],
    [
      "an attribute that is too long",
      { name: "x", pax: { "SCHILY.xattr.user.a": "v".repeat(65537) } },
      "extended attribute longer",
    ],
  ] as [string, TarEntry, string][])("refuses %s", async (_, entry, why) => {
    await expect(unpackEntries(entry)).rejects.toThrow(why);
  });
});

describe("digests and compression", () => {
  const archive = tar([{ name: "f", data: Buffer.alloc(200_000, "0123456789") }]);
  const zstd = (data: Uint8Array): Buffer => zstdCompressSync(data);
  const skippable = Buffer.concat([Buffer.from("502a4d1805000000", "hex"), Buffer.from("extra")]);

  it.each([
    ["gzip", "gzip", gzipSync(archive)],
    [
      "gzip of several members",
      "gzip",
      Buffer.concat([gzipSync(archive.subarray(0, 999)), gzipSync(archive.subarray(999))]),
    ],
    ["zstd", "zstd", zstd(archive)],
    [
      "zstd of several frames",
      "zstd",
      Buffer.concat([zstd(archive.subarray(0, 999)), zstd(archive.subarray(999, 1000)), zstd(archive.subarray(1000))]),
    ],
    [
      "zstd with skippable frames",
      "zstd",
      Buffer.concat([skippable, zstd(archive.subarray(0, 999)), skippable, zstd(archive.subarray(999)), skippable]),
    ],
  ] as const)("%s, cut anywhere", async (_, compression, blob) => {
    for (const piece of [1, 7, 1000, blob.length]) {
      root = mkdtempSync(join(base, "root-"));
      await unpack(archive, { blob, compression, piece });
      expect(readFileSync(join(root, "f"))).toEqual(Buffer.alloc(200_000, "0123456789"));
    }
  });

  it("hash what follows the end of the archive", async () => {
    const longer = Buffer.concat([archive, Buffer.alloc(5000, 1)]);
    await unpack(longer, { blob: gzipSync(longer), compression: "gzip" });
    root = mkdtempSync(join(base, "root-"));
    await expect(unpack(longer, { diffId: sha256(archive) })).rejects.toMatchObject({ code: "digest" });
  });

  it.each([1, 50, 100_000])("refuse what follows the compressed data, in pieces of %d bytes", async (piece) => {
    const archive = tar([{ name: "f", data: "x" }]);
    const packed = gzipSync(archive);
    for (const rest of [
      Buffer.alloc(1),
      Buffer.alloc(5000),
      Buffer.from("rest"),
      Buffer.concat([Buffer.alloc(9), packed]),
    ]) {
      const blob = Buffer.concat([packed, rest]);
      await expect(unpack(archive, { blob, compression: "gzip", piece })).rejects.toMatchObject({ code: "tar" });
    }
  });

  it("refuse a blob of another digest", async () => {
    await expect(unpack(archive, { digest: sha256("x") })).rejects.toThrow(
      /^layer: expected digest sha256:.*, got sha256:/,
    );
  });

  it("refuse an archive of another diff_id", async () => {
    await expect(
      unpack(archive, { blob: gzipSync(archive), compression: "gzip", diffId: sha256("x") }),
    ).rejects.toThrow("unequal uncompressed digest");
  });

  it.each(["gzip", "zstd"] as const)("refuse a truncated %s layer", async (compression) => {
    const whole = compression === "gzip" ? gzipSync(archive) : zstd(archive);
    const blob = whole.subarray(0, whole.length - 10);
    await expect(unpack(archive, { blob, compression })).rejects.toBeInstanceOf(PullError);
  });

  it.each(["gzip", "zstd"] as const)("refuse what is not %s", async (compression) => {
    await expect(unpack(archive, { blob: Buffer.alloc(1000, 7), compression })).rejects.toMatchObject({ code: "tar" });
  });

  it.each(["gzip", "zstd"] as const)("refuse a %s bomb long before it is unpacked", async (compression) => {
    const zeros = Buffer.alloc(200 * 1024 * 1024);
    const bomb = Buffer.concat([tarMember({ name: "f", size: zeros.length }), zeros]);
    const blob = compression === "gzip" ? gzipSync(bomb, { level: 9 }) : zstd(bomb);
    await expect(unpack(bomb, { blob, compression, diffId: sha256("x") })).rejects.toMatchObject({
      code: "limit",
      message: expect.stringContaining("more than 200 times") as string,
    });
    expect(lstatSync(join(root, "f")).size).toBeLessThan(100 * 1024 * 1024);
  });
});

describe("any archive", () => {
  it("is unpacked or refused, and nothing outside the root changes", async () => {
    const random = seeded(6);
    const outside = mkdtempSync(join(base, "outside-"));
    writeFileSync(join(outside, "victim"), "untouched", { mode: 0o640 });
    const before = describeTree(outside);
    const parts = ["a", "b", "c", "..", ".", "", ".wh.a", ".wh..wh..opq", outside.slice(1), "victim", "/"];
    const name = (): string => Array.from({ length: random(4) + 1 }, () => parts[random(parts.length)]).join("/");
    const types = ["0", "0", "1", "2", "2", "3", "5", "5", "6"];
    const results = { whole: 0, refused: 0 };
    for (let round = 0; round < 400; round += 1) {
      root = mkdtempSync(join(base, "fuzz-"));
      const entries = Array.from({ length: random(8) + 1 }, (): TarEntry => {
        const climbing = random(4) === 0;
        const path = name();
        const link = random(2) === 0 ? `${"../".repeat(random(12))}${outside.slice(1)}` : name();
        const type = types[random(types.length)] ?? "0";
        return {
          name: climbing ? path : path.replaceAll("..", "d"),
          type,
          link,
          mode: random(0o10000),
          uid: random(9),
          data: "x",
        };
      });
      const inert = entries.map((entry) => (entry.type === "0" ? entry : { ...entry, data: "" }));
      try {
        await unpackEntries(...inert);
        results.whole += 1;
      } catch (error) {
        expect(error).toBeInstanceOf(PullError);
        results.refused += 1;
      }
      expect(describeTree(outside)).toEqual(before);
    }
    expect(results.whole).toBeGreaterThan(50);
    expect(results.refused).toBeGreaterThan(50);
  });
});

describe("a full disk", () => {
  it("is told as such", async () => {
    const small = mkdtempSync(join(base, "small-"));
    await sys.mount("tmpfs", small, "tmpfs", 0, "size=64k");
    try {
      root = small;
      await expect(unpackEntries({ name: "f", data: Buffer.alloc(200_000) })).rejects.toMatchObject({
        code: "no-space",
        message: expect.stringContaining("no space left") as string,
      });
    } finally {
      await sys.umount2(small);
    }
  });
});
