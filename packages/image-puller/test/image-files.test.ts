import { createHash } from "node:crypto";
import { gzipSync } from "node:zlib";
import type { Descriptor } from "oci-client";
import { describe, expect, it } from "vitest";
import { tar, type TarEntry } from "../../../test/fixtures/tar.ts";
import { MAX_FILE, readImageFiles } from "../src/image-files.ts";

const sha256 = (data: Uint8Array): string => `sha256:${createHash("sha256").update(data).digest("hex")}`;

interface Read {
  readonly files: Readonly<Record<string, string>>;
  /** How many blobs were asked for. */
  readonly blobs: number;
}

/** Reads from an image of these layers, lowest first, in chunks of a few bytes. */
async function read(
  layers: readonly (readonly TarEntry[])[],
  paths: readonly string[],
  { diffIds, encrypted = false }: { readonly diffIds?: readonly string[]; readonly encrypted?: boolean } = {},
): Promise<Read> {
  const archives = layers.map((entries) => tar(entries));
  const blobs = archives.map((archive) => gzipSync(archive));
  const type = `application/vnd.oci.image.layer.v1.tar+gzip${encrypted ? "+encrypted" : ""}`;
  const descriptors = blobs.map((blob): Descriptor => ({
    mediaType: type,
    digest: sha256(blob),
    size: blob.length,
    annotations: {},
  }));
  let asked = 0;
  const source = {
    async *blob({ digest }: Descriptor): AsyncGenerator<Uint8Array> {
      asked += 1;
      const blob = blobs.find((one) => sha256(one) === digest) ?? Buffer.alloc(0);
      for (let at = 0; at < blob.length; at += 100) yield blob.subarray(at, at + 100);
    },
  };
  const image = { layers: descriptors, diffIds: diffIds ?? archives.map(sha256) };
  const found = await readImageFiles(source, image, paths);
  return { files: Object.fromEntries([...found].map(([path, data]) => [path, data.toString()])), blobs: asked };
}

const file = (name: string, data: string): TarEntry => ({ name, data });
const PATHS = ["etc/passwd", "etc/group"];

describe("files of an image", () => {
  it("come from the topmost layer that has them, and no layer below is read", async () => {
    const lowest = [file("etc/passwd", "old"), file("etc/group", "g")];
    const layers = [[file("etc/passwd", "never read")], lowest, [file("./etc/passwd", "new")], [file("x", "y")]];
    expect(await read(layers, PATHS)).toEqual({ files: { "etc/passwd": "new", "etc/group": "g" }, blobs: 3 });
  });

  it.each([
    ["a file's own mark", file("etc/.wh.passwd", "")],
    ["its folder's mark", file(".wh.etc", "")],
    ["an opaque folder", file("etc/.wh..wh..opq", "")],
    ["an opaque root", file(".wh..wh..opq", "")],
    ["a folder of its name", { name: "etc/passwd/", type: "5" }],
  ])("are gone by %s, whatever lies below", async (_, mark) => {
    expect((await read([[file("etc/passwd", "hidden")], [mark]], ["etc/passwd"])).files).toEqual({});
    // The mark says nothing about its own layer.
    if (!mark.name.startsWith("etc/passwd")) {
      const both = [mark, file("etc/passwd", "here")];
      expect((await read([[file("etc/passwd", "hidden")], both], ["etc/passwd"])).files["etc/passwd"]).toBe("here");
    }
  });

  it("the last member of a name counts", async () => {
    expect((await read([[file("etc/passwd", "a"), file("etc/passwd", "b")]], PATHS)).files["etc/passwd"]).toBe("b");
  });

  it.each([
    ["a link", { name: "etc/passwd", type: "2", link: "../../nix/passwd" }],
    ["an absolute link", { name: "etc/passwd", type: "2", link: "/nix/./passwd" }],
    ["a hard link", { name: "etc/passwd", type: "1", link: "nix/passwd" }],
  ])("are found through %s, in any layer", async (_, link) => {
    expect((await read([[file("nix/passwd", "linked")], [link]], ["etc/passwd"])).files["etc/passwd"]).toBe("linked");
    expect((await read([[link], [file("nix/passwd", "over")]], ["etc/passwd"])).files["etc/passwd"]).toBe("over");
    expect((await read([[link]], ["etc/passwd"])).files).toEqual({});
  });

  it("a circle of links ends", async () => {
    const circle = [
      { name: "etc/passwd", type: "2", link: "group" },
      { name: "etc/group", type: "2", link: "passwd" },
    ];
    await expect(read([circle], PATHS)).rejects.toMatchObject({ code: "unsafe" });
  });

  it.each([
    ["a folder that is a link", [[{ name: "etc", type: "2", link: "/nix" }]], {}, "unsupported"],
    ["an encrypted layer", [[file("x", "")]], { encrypted: true }, "unsupported"],
    ["an endless file", [[{ name: "etc/passwd", data: Buffer.alloc(MAX_FILE + 1) }]], {}, "limit"],
    [
      "another archive than the configuration says",
      [[file("x", "")]],
      { diffIds: [sha256(Buffer.alloc(1))] },
      "digest",
    ],
    ["more layers than the configuration says", [[file("x", "")]], { diffIds: [] }, "digest"],
  ])("%s is refused", async (_, layers, options, code) => {
    await expect(read(layers, PATHS, options)).rejects.toMatchObject({ name: "PullError", code });
  });
});
