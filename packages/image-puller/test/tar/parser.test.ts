import { describe, expect, it } from "vitest";
import { END_OF_ARCHIVE, paxRecord, tar, tarHeader, tarMember, withChecksum } from "../../../../test/fixtures/tar.ts";
import { PullError } from "../../src/index.ts";
import { seeded } from "../../../../test/fixtures/seeded.ts";
import { list } from "./list.ts";

const file = { name: "f", data: "hello", uid: 1, gid: 2, mode: 0o4755, mtime: 1234567890 };

/** A member in front of others whose records the caller chooses. */
function extended(type: string, data: Uint8Array | string): Buffer {
  return tarMember({ name: "x", type, data });
}

describe("TarParser", () => {
  const archive = tar([
    { name: "d/", type: "5", mode: 0o1777 },
    { name: "d/f", data: "x".repeat(1000), uid: 70000, gid: 3, mode: 0o6755, mtime: 42 },
    { name: "d/empty" },
    { name: "l", type: "2", link: "d/f" },
    { name: "h", type: "1", link: "d/f" },
    { name: "c", type: "3", major: 1, minor: 3 },
    { name: "b", type: "4", major: 8, minor: 17 },
    { name: "p", type: "6" },
    { name: `${"long/".repeat(40)}name`, data: "y", pax: { "SCHILY.xattr.user.a": "b", mtime: "1.5" } },
    { name: "s", type: "2", link: "t".repeat(150) },
  ]);

  it("gives the same members however the archive is cut", () => {
    const whole = list(archive);
    expect(whole.map(({ name, type }) => [name, type])).toEqual([
      ["d/", "5"],
      ["d/f", "0"],
      ["d/empty", "0"],
      ["l", "2"],
      ["h", "1"],
      ["c", "3"],
      ["b", "4"],
      ["p", "6"],
      [`${"long/".repeat(40)}name`, "0"],
      ["s", "2"],
    ]);
    expect(whole[1]).toMatchObject({ uid: 70000, gid: 3, mode: 0o6755, mtime: 42, data: "x".repeat(1000) });
    expect(whole[6]).toMatchObject({ major: 8, minor: 17 });
    expect(whole[8]).toMatchObject({ mtime: 1.5, xattrs: new Map([["user.a", Buffer.from("b")]]) });
    expect(whole[9]).toMatchObject({ link: "t".repeat(150) });
    for (const pieces of [1, 2, 511, 512, 513, 1000]) expect(list(archive, pieces)).toEqual(whole);
  });

  it("stops at the end-of-archive marker", () => {
    expect(list(Buffer.concat([tar([file]), tar([{ name: "after" }]), Buffer.from("rubbish")]))).toHaveLength(1);
  });

  it("takes an archive that ends without a marker, or with half of one", () => {
    expect(list(tarMember(file))).toHaveLength(1);
    expect(list(Buffer.concat([tarMember(file), Buffer.alloc(512)]))).toHaveLength(1);
  });

  it.each([
    ["inside a header", 100],
    ["inside the data", 514],
    ["inside the padding", 600],
  ])("refuses an archive that ends %s", (_, length) => {
    expect(() => list(tarMember(file).subarray(0, length))).toThrow("ends in the middle of a member");
  });

  it("refuses a member behind a single block of zeros", () => {
    expect(() => list(Buffer.concat([tarMember(file), Buffer.alloc(512), tar([file])]))).toThrow(
      "after a block of zeros",
    );
  });

  it("refuses a wrong checksum and accepts a signed one", () => {
    const header = tarHeader({ name: "caf\u00e9" }, 0);
    header[0] = (header[0] ?? 0) ^ 1;
    expect(() => list(Buffer.concat([header, END_OF_ARCHIVE]))).toThrow("checksum");
    const signed = tarHeader({ name: "x" }, 0);
    signed[1] = 0xe9;
    withChecksum(signed);
    const sum = Number.parseInt(signed.toString("latin1", 148, 154), 8) - 256;
    signed.write(sum.toString(8).padStart(6, "0"), 148);
    expect(list(Buffer.concat([signed, END_OF_ARCHIVE]))[0]?.name).toBe("x\u00e9");
  });

  it("reads a ustar prefix, and none in GNU headers", () => {
    const prefixed = tarHeader({ name: "name" }, 0);
    prefixed.write("some/dir", 345);
    expect(list(Buffer.concat([withChecksum(prefixed), END_OF_ARCHIVE]))[0]?.name).toBe("some/dir/name");
    prefixed.write("ustar  \0", 257, "latin1");
    expect(list(Buffer.concat([withChecksum(prefixed), END_OF_ARCHIVE]))[0]?.name).toBe("name");
  });

  it("takes a slash at the end for a directory only without a type flag, as Go does", () => {
    const old = tar([
      { name: "d/", type: "\0", data: "x" },
      { name: "f", type: "\0", data: "y" },
      { name: "g/", data: "z" },
    ]);
    expect(list(old)).toMatchObject([
      { name: "d/", type: "5", data: "x" },
      { name: "f", type: "0", data: "y" },
      { name: "g/", type: "0", data: "z" },
    ]);
  });

  it.each(["1", "2", "3", "4", "5", "6"])("takes no notice of the size of type %s", (type) => {
    expect(list(tar([{ name: "x", type, size: 1000 }, { name: "next" }])).map(({ name }) => name)).toEqual([
      "x",
      "next",
    ]);
  });

  it("reads GNU long names", () => {
    const long = "n".repeat(300);
    const archive = Buffer.concat([
      extended("L", `${long}\0`),
      extended("K", `${long}t\0`),
      tar([{ name: "cut", type: "2" }]),
    ]);
    for (const pieces of [1, 512, archive.length]) {
      expect(list(archive, pieces)).toMatchObject([{ name: long, link: `${long}t` }]);
    }
  });

  it("lets the pax size say where the next member is", () => {
    const member = tarMember({ name: "f", data: "0123456789", size: 0, pax: { size: "10" } });
    expect(list(Buffer.concat([member, tar([{ name: "next" }])]))).toMatchObject([
      { name: "f", data: "0123456789" },
      { name: "next" },
    ]);
  });

  it("takes back what an empty pax value names, but keeps an empty attribute", () => {
    expect(list(tar([{ ...file, pax: { path: "", uid: "", "SCHILY.xattr.user.e": "" } }]))).toMatchObject([
      { name: "f", uid: 1, xattrs: new Map([["user.e", Buffer.alloc(0)]]) },
    ]);
  });

  it("reads over a global header, as Go does", () => {
    expect(list(Buffer.concat([extended("g", paxRecord("path", "other")), tar([file])]))).toMatchObject([
      { name: "f" },
    ]);
  });

  it("passes unknown records over", () => {
    expect(list(tar([{ ...file, pax: { comment: "x", "LIBARCHIVE.creationtime": "1" } }]))).toHaveLength(1);
  });

  it.each<[string, Buffer, string]>([
    [
      "two pax headers",
      Buffer.concat([extended("x", paxRecord("a", "b")), extended("x", paxRecord("a", "b")), tar([file])]),
      "two extended headers",
    ],
    [
      "two long names",
      Buffer.concat([extended("L", "a\0"), extended("L", "b\0"), tar([file])]),
      "two extended headers",
    ],
    [
      "both ways of naming",
      Buffer.concat([extended("L", "a\0"), extended("x", paxRecord("path", "b")), tar([file])]),
      "two names",
    ],
    [
      "both ways of linking",
      Buffer.concat([extended("K", "a\0"), extended("x", paxRecord("linkpath", "b")), tar([file])]),
      "two link targets",
    ],
    [
      "a header without member",
      Buffer.concat([extended("x", paxRecord("a", "b")), END_OF_ARCHIVE]),
      "without its member",
    ],
    ["a header at the end", extended("x", paxRecord("a", "b")), "ends in the middle"],
    ["a record that is too long", Buffer.concat([extended("x", "99 a=b\n"), tar([file])]), "wrong length"],
    ["a record of length 0", Buffer.concat([extended("x", "0 a=b\n"), tar([file])]), "wrong length"],
    ["a record without newline", Buffer.concat([extended("x", "6 a=bc"), tar([file])]), "wrong length"],
    ["a record without key", Buffer.concat([extended("x", "5 =b\n"), tar([file])]), "not key=value"],
    ["a record without value", Buffer.concat([extended("x", "5 ab\n"), tar([file])]), "not key=value"],
    ["a NUL in a path", Buffer.concat([extended("x", paxRecord("path", "a\0b")), tar([file])]), "path has a NUL byte"],
    [
      "a size that is no number",
      Buffer.concat([extended("x", paxRecord("size", "1e3")), tar([file])]),
      "size is not a number",
    ],
    [
      "a time that is none",
      Buffer.concat([extended("x", paxRecord("mtime", "now")), tar([file])]),
      "mtime is not a time",
    ],
    ["a sparse file of pax", Buffer.concat([extended("x", paxRecord("GNU.sparse.major", "1")), tar([file])]), "sparse"],
  ])("refuses %s", (_, archive, why) => {
    for (const pieces of [1, archive.length]) {
      expect(() => list(archive, pieces)).toThrow(why);
      expect(() => list(archive, pieces)).toThrow(PullError);
    }
  });

  it("does not make room for an extended header beyond its cap", () => {
    const header = tarHeader({ name: "x", type: "x" }, 2 ** 33);
    expect(() => list(header)).toThrow(expect.objectContaining({ code: "limit" }) as Error);
  });

  it("refuses a negative size", () => {
    const header = tarHeader({ name: "x" }, 0);
    Buffer.from("fffffffffffffffffffffff6", "hex").copy(header, 124);
    expect(() => list(withChecksum(header))).toThrow("negative size");
  });

  it("refuses a name that no kernel takes", () => {
    expect(() => list(Buffer.concat([extended("L", "n".repeat(5000)), tar([file])]))).toThrow("longer than 4096");
  });

  it("gives members or a PullError for any change of a good archive", () => {
    const random = seeded(4);
    let refused = 0;
    for (let round = 0; round < 2000; round += 1) {
      const changed = Buffer.from(archive);
      for (let flips = random(3) + 1; flips > 0; flips -= 1) {
        // Half of the changes keep the checksum right, so that they reach what lies behind it.
        const at = random(changed.length);
        changed[at] = random(256);
        const header = at - (at % 512);
        if (random(2) === 0) withChecksum(changed.subarray(header, header + 512));
      }
      try {
        list(changed, random(700) + 1);
      } catch (error) {
        expect(error).toBeInstanceOf(PullError);
        refused += 1;
      }
    }
    expect(refused).toBeGreaterThan(200);
  });
});
