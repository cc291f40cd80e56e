import { describe, expect, it } from "vitest";

import { isWithin, mountInfo, parseMountInfo, SysError, unescapeOctal } from "../src/index.ts";

const LINE = "36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 propagate_from:2 - ext3 /dev/root rw,errors=continue";

describe("parseMountInfo", () => {
  it("reads every field", () => {
    expect(parseMountInfo(`${LINE}\n`)).toEqual([
      {
        id: 36,
        parentId: 35,
        major: 98,
        minor: 0,
        root: "/mnt1",
        mountPoint: "/mnt2",
        options: ["rw", "noatime"],
        propagation: ["master:1", "propagate_from:2"],
        fsType: "ext3",
        source: "/dev/root",
        superOptions: ["rw", "errors=continue"],
      },
    ]);
  });

  it("reads lines without optional fields, with an empty source, and with escapes", () => {
    const [first, second] = parseMountInfo(
      "1 2 0:3 / /a\\040b\\134c\\011d ro - fuse.x  ro\n4 1 0:5 net:[4026] /run/netns/x rw shared:9 - nsfs nsfs rw\n",
    );
    expect(first).toMatchObject({ mountPoint: "/a b\\c\td", source: "", propagation: [], superOptions: ["ro"] });
    expect(second).toMatchObject({ root: "net:[4026]", propagation: ["shared:9"], fsType: "nsfs" });
  });

  it.each(["1 2 0:3 / /a", "x 2 0:3 / /a rw - ext4 a rw", "1 2 03 / /a rw - ext4 a rw", "1 2 0:3 / /a rw ext4 a rw"])(
    "refuses %s",
    (line) => {
      expect(() => parseMountInfo(line)).toThrow("mountinfo: expected 10 fields or more, got");
    },
  );

  it("agrees with the kernel about this process", async () => {
    const mounts = await mountInfo();
    expect(mounts.find((mount) => mount.mountPoint === "/proc")).toMatchObject({ fsType: "proc" });
  });

  it("reads or refuses whatever a changed line makes of it", () => {
    const next = generator(3);
    let refused = 0;
    for (let round = 0; round < 5000; round += 1) {
      const bytes = Buffer.from(LINE);
      for (let change = 0; change <= next() % 3; change += 1) bytes[next() % bytes.length] = next() % 256;
      try {
        for (const mount of parseMountInfo(bytes.toString("latin1"))) {
          expect(Number.isInteger(mount.id)).toBe(true);
          expect(mount.mountPoint).not.toBe("");
        }
      } catch (error) {
        expect(error).toBeInstanceOf(SysError);
        expect((error as SysError).code).toBe("parse");
        refused += 1;
      }
    }
    expect(refused).toBeGreaterThan(0);
    expect(refused).toBeLessThan(5000);
  });
});

describe("unescapeOctal", () => {
  it("undoes what the kernel does to any name", () => {
    const next = generator(7);
    for (let round = 0; round < 500; round += 1) {
      const name = Array.from({ length: next() % 20 }, () => " \t\n\\#aé€7"[next() % 9]).join("");
      const escaped = name.replaceAll(
        /[ \t\n\\#]/gu,
        (char) => `\\${char.codePointAt(0)?.toString(8).padStart(3, "0")}`,
      );
      expect(unescapeOctal(escaped)).toBe(name);
    }
    expect(unescapeOctal("\\9\\04\\400")).toBe("\\9\\04\\400");
  });
});

describe("isWithin", () => {
  it("goes by whole names", () => {
    expect([isWithin("/a", "/a"), isWithin("/a", "/a/b"), isWithin("/", "/x")]).toEqual([true, true, true]);
    expect([isWithin("/a", "/ab"), isWithin("/a/b", "/a"), isWithin("/a", "/")]).toEqual([false, false, false]);
  });
});

/** A seeded generator (xorshift), so that a failure comes back. */
function generator(seed: number): () => number {
  let state = seed;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 0;
  };
}
