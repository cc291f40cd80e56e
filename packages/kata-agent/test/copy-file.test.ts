import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { linuxSyscalls } from "@nacre/kata-sys-util";
import type { grpc } from "@nacre/protocols";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { checkRequest, FileCopier, MAX_UNFINISHED_COPIES, parseTarget } from "../src/copy-file.ts";

const forever = new AbortController().signal;
const REGULAR = 0o100644;
const FOLDER = 0o040755;
const LINK = 0o120777;

let base: string;
let root: string;
let copier: FileCopier;

beforeEach(() => {
  base = mkdtempSync(join(tmpdir(), "nacre-copy-"));
  root = join(base, "shared");
  copier = new FileCopier(linuxSyscalls(), root);
});

afterEach(() => {
  rmSync(base, { recursive: true });
});

/** A request of one chunk for the whole file, below the root. */
function request(path: string, over: Partial<grpc.CopyFileRequest> = {}): grpc.CopyFileRequest {
  const data = over.data ?? Buffer.from("hello");
  return {
    path: path.startsWith("/") ? path : `${root}/${path}`,
    file_size: BigInt(data.length),
    file_mode: REGULAR,
    dir_mode: 0o755,
    uid: -1,
    gid: -1,
    offset: 0n,
    data,
    ...over,
  };
}

const copy = (path: string, over?: Partial<grpc.CopyFileRequest>): Promise<void> =>
  copier.copy(request(path, over), forever);
const link = (path: string, target: string): Promise<void> =>
  copy(path, { file_mode: LINK, file_size: 0n, data: Buffer.from(target) });
const mode = (path: string): number => lstatSync(join(root, path)).mode & 0o7777;

describe("FileCopier", () => {
  it("writes a file with parents, and Go's ModeDir bit in dir_mode means nothing", async () => {
    await copy("d1/d2/f", { dir_mode: 0x8000_01e8, file_mode: 0o100640 });
    expect(readFileSync(join(root, "d1/d2/f"), "utf8")).toBe("hello");
    expect([mode("d1"), mode("d1/d2"), mode("d1/d2/f")]).toEqual([0o750, 0o750, 0o640]);
  });

  it("keeps a file hidden until its size is reached", async () => {
    await copy("big", { data: Buffer.from("AAAA"), file_size: 10n });
    expect(existsSync(join(root, "big"))).toBe(false);
    await copy("big", { data: Buffer.from("BBBB"), file_size: 10n, offset: 4n });
    await copy("big", { data: Buffer.from("CC"), file_size: 10n, offset: 8n });
    expect(readFileSync(join(root, "big"), "utf8")).toBe("AAAABBBBCC");
    expect(readdirSync(root)).toEqual(["big"]);
  });

  it("does not mix files that differ in their extension only", async () => {
    await copy("x.txt", { data: Buffer.from("AA"), file_size: 4n });
    await copy("x.md", { data: Buffer.from("BB") });
    await copy("x.txt", { data: Buffer.from("CC"), file_size: 4n, offset: 2n });
    expect(readFileSync(join(root, "x.txt"), "utf8")).toBe("AACC");
    expect(readFileSync(join(root, "x.md"), "utf8")).toBe("BB");
  });

  it("starts over at offset 0", async () => {
    await copy("f", { data: Buffer.from("old old old"), file_size: 20n });
    await copy("f", { data: Buffer.from("new") });
    expect(readFileSync(join(root, "f"), "utf8")).toBe("new");
  });

  it("replaces a folder by a file, a file by a folder, and a link by either", async () => {
    await copy("n/inner");
    await copy("n");
    expect(statSync(join(root, "n")).isFile()).toBe(true);
    await copy("n", { file_mode: FOLDER, file_size: 0n, data: Buffer.alloc(0) });
    expect(statSync(join(root, "n")).isDirectory()).toBe(true);
    await link("n", "elsewhere");
    expect(readlinkSync(join(root, "n"))).toBe("elsewhere");
    await copy("n");
    expect(lstatSync(join(root, "n")).isFile()).toBe(true);
  });

  it("keeps what a folder holds and gives it the new mode", async () => {
    await copy("d/f");
    await copy("d", { file_mode: 0o040700, file_size: 0n, data: Buffer.alloc(0) });
    expect(readdirSync(join(root, "d"))).toEqual(["f"]);
    expect(mode("d")).toBe(0o700);
  });

  it("drops setuid, setgid and sticky bits", async () => {
    await copy("f", { file_mode: 0o107755 });
    expect(mode("f")).toBe(0o755);
  });

  it("takes Kubernetes' way of swapping a volume", async () => {
    await copy("cfg/..2026/app.conf");
    await link("cfg/..data", "..2026");
    await link("cfg/app.conf", "..data/app.conf");
    expect(readFileSync(join(root, "cfg/app.conf"), "utf8")).toBe("hello");
    await link("cfg/..data", "..2027");
    expect(readlinkSync(join(root, "cfg/..data"))).toBe("..2027");
  });

  it("removes its hidden file when a chunk fails", async () => {
    const limited = new AbortController();
    limited.abort(new Error("the caller went away"));
    await expect(copier.copy(request("f", { file_size: 9n }), limited.signal)).rejects.toThrow("went away");
    expect(existsSync(root) ? readdirSync(root) : []).toEqual([]);
  });

  it("drops the oldest unfinished file when there are too many", async () => {
    for (let i = 0; i <= MAX_UNFINISHED_COPIES; i++) await copy(`f${i}`, { file_size: 100n });
    expect(readdirSync(root)).toHaveLength(MAX_UNFINISHED_COPIES);
  });
});

describe("attacks on the root", () => {
  let outside: string;

  beforeEach(() => {
    outside = join(base, "outside");
    mkdirSync(outside);
    writeFileSync(join(outside, "secret"), "secret");
    mkdirSync(root);
  });

  it.each([
    ["an absolute link as parent", "lnk/evil", (): string => outside],
    ["a link upwards as parent", "lnk/evil", (): string => "../outside"],
    ["a link to the root itself as parent", "lnk/evil", (): string => "."],
    ["a deep link as parent", "a/b/lnk/evil", (): string => "../../../outside"],
    ["a magic link as parent", "lnk/evil", (): string => "/proc/self/cwd"],
  ])("%s is refused", async (_what, path, target) => {
    const parent = path.slice(0, path.lastIndexOf("/"));
    await link(parent, target());
    await expect(copy(path)).rejects.toMatchObject({ code: 13, message: "mkdir_all parent" });
    expect(readdirSync(outside)).toEqual(["secret"]);
    expect(existsSync(join(root, "evil"))).toBe(false);
  });

  it("replaces a link where the file goes, and does not write through it", async () => {
    await link("f", join(outside, "secret"));
    await copy("f");
    expect(readFileSync(join(outside, "secret"), "utf8")).toBe("secret");
    expect(lstatSync(join(root, "f")).isFile()).toBe(true);
  });

  it("does not change a folder behind a link", async () => {
    const before = statSync(outside).mode;
    await link("d", outside);
    await copy("d", { file_mode: 0o040700, file_size: 0n, data: Buffer.alloc(0) });
    expect(lstatSync(join(root, "d")).isDirectory()).toBe(true);
    expect(statSync(outside).mode).toBe(before);
  });

  it("does not write through a link planted where it hides unfinished files", async () => {
    await copy("f", { file_size: 100n });
    const [hidden] = readdirSync(root);
    rmSync(join(root, hidden ?? ""));
    symlinkSync(join(outside, "secret"), join(root, hidden ?? ""));
    await expect(copy("f", { offset: 5n, file_size: 10n })).rejects.toThrow();
    expect(readFileSync(join(outside, "secret"), "utf8")).toBe("secret");
  });

  it("removes a tree without following the links in it", async () => {
    await link("d/link", outside);
    await copy("d");
    expect(readdirSync(outside)).toEqual(["secret"]);
  });

  it.each([
    ["/etc/evil", /prefix from \/etc\/evil/],
    ["rel/x", /prefix from rel\/x/],
    ["", /prefix from /],
    ["ROOT", /remove all path is \//],
    ["ROOT/", /remove all path is \//],
    ["ROOT-evil/x", /prefix from/],
    ["ROOT/../evil", /'\.\.'|Invalid path/],
    ["ROOT/a/../../evil", /Invalid path/],
    ["ROOT/a/..", /Invalid path/],
    ["ROOT/a\0b", /Invalid path/],
    [`ROOT/${"n".repeat(256)}`, /Invalid path/],
    [`ROOT/${"d/".repeat(65)}f`, /Invalid path/],
    [`ROOT/${"ü".repeat(128)}`, /Invalid path/],
  ])("refuses the path %j", async (path, text) => {
    const whole = path.replace("ROOT", root);
    await expect(copier.copy({ ...request("x"), path: whole }, forever)).rejects.toMatchObject({
      code: 13,
      message: expect.stringMatching(text) as string,
    });
    expect(readdirSync(root)).toEqual([]);
    expect(readdirSync(base).sort()).toEqual(["outside", "shared"]);
  });

  it("survives any bytes in a path: seeded fuzz", async () => {
    const random = mulberry32(0x5eed);
    const alphabet = ["a", "b", ".", "..", "/", "//", "\0", "ü", "..data", " ", "l", "\n", "-"];
    await link("l", outside);
    for (let i = 0; i < 500; i++) {
      const length = 1 + Math.floor(random() * 12);
      const path = Array.from({ length }, () => alphabet[Math.floor(random() * alphabet.length)]).join("");
      const file_mode = [REGULAR, FOLDER, LINK][Math.floor(random() * 3)] ?? REGULAR;
      const over = file_mode === REGULAR ? {} : { file_size: 0n, data: Buffer.from("../outside") };
      await copier.copy({ ...request("x", over), path: `${root}/${path}`, file_mode }, forever).catch(() => undefined);
    }
    expect(readdirSync(base).sort()).toEqual(["outside", "shared"]);
    expect(readdirSync(outside)).toEqual(["secret"]);
    expect(readFileSync(join(outside, "secret"), "utf8")).toBe("secret");
  });
});

describe("checkRequest", () => {
  it.each([0, 0o010644, 0o020644, 0o060644, 0o140644, 0o170644])("refuses the type of mode %i", (file_mode) => {
    expect(() => checkRequest(request("f", { file_mode }))).toThrow(/^file type/);
  });

  it.each<[string, Partial<grpc.CopyFileRequest>, RegExp]>([
    ["data past the size", { file_size: 4n }, /5 bytes at 0 do not fit a file of 4/],
    ["data past the size at an offset", { file_size: 6n, offset: 2n }, /do not fit/],
    ["a negative size", { file_size: -5n }, /file_size/],
    ["a negative offset", { offset: -1n }, /write_all_at/],
    ["an owner below -1", { uid: -2 }, /uid: expected/],
    ["a group below -1", { gid: -2 }, /gid: expected/],
    ["a size beyond exact positions", { offset: 2n ** 53n, file_size: 2n ** 62n }, /write_all_at/],
    ["an offset near the end of numbers", { offset: 2n ** 63n - 1n, file_size: 2n ** 63n - 1n }, /do not fit/],
  ])("refuses %s", (_what, over, text) => {
    expect(() => checkRequest(request("f", over))).toThrow(text);
  });
});

describe("parseTarget", () => {
  it("passes over empty components and dots", () => {
    expect(parseTarget("/a/b", "//a///b/./c//d/")).toEqual({ parents: ["c"], name: "d" });
  });
});

/** A small generator with a seed, so that a failure can be had again. */
function mulberry32(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}
