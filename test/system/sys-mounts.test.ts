import {
  closeSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import {
  bindMount,
  linuxSyscalls,
  mountInfo,
  mountWithOptions,
  OpenFlag,
  SafeRoot,
  unmountTree,
  type MountInfo,
} from "@nacre/kata-sys-util";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

const sys = linuxSyscalls();
let top: string;

beforeEach(async () => {
  top = mkdtempSync(join(tmpdir(), "sys mounts-"));
  // Private, so that nothing here shows in another namespace.
  await mountWithOptions(sys, "tests", top, "tmpfs", ["private", "size=1m", "mode=755"]);
  for (const name of ["source", "target", "other"]) mkdirSync(join(top, name));
  writeFileSync(join(top, "source/file"), "content");
});

afterEach(async () => {
  await unmountTree(sys, top);
  expect(await mountsAt(top)).toEqual([]);
  rmSync(top, { recursive: true });
});

async function mountsAt(prefix: string): Promise<readonly MountInfo[]> {
  return (await mountInfo()).filter((mount) => mount.mountPoint.startsWith(prefix));
}

async function options(path: string): Promise<readonly string[]> {
  const last = (await mountInfo()).findLast((mount) => mount.mountPoint === path);
  return [...(last?.options ?? []), ...(last?.propagation ?? [])];
}

describe("mountWithOptions", () => {
  it("passes flags and data, also with a space in the path", async () => {
    const target = join(top, "target");
    await mountWithOptions(sys, "none", target, "tmpfs", ["ro", "nosuid", "noexec", "size=64k", "rshared"]);
    expect(await options(target)).toEqual(expect.arrayContaining(["ro", "nosuid", "noexec"]));
    expect((await options(target)).some((option) => option.startsWith("shared:"))).toBe(true);
    expect((await sys.statfs(target)).blocks * BigInt((await sys.statfs(target)).bsize)).toBe(65_536n);
  });

  it("leaves no mount behind when a later step fails", async () => {
    const target = join(top, "target");
    const mount = (...[source, path, type, flags, data]: Parameters<typeof sys.mount>): Promise<void> =>
      type === null ? Promise.reject(new Error("propagation failed")) : sys.mount(source, path, type, flags, data);
    const failing = { ...sys, mount };
    await expect(mountWithOptions(failing, "none", target, "tmpfs", ["shared"])).rejects.toThrow("propagation failed");
    await expect(bindMount(sys, join(top, "source"), join(top, "absent"), ["ro"])).rejects.toMatchObject({
      code: "ENOENT",
      syscall: "move_mount",
    });
    await expect(bindMount(sys, join(top, "absent"), target)).rejects.toMatchObject({ syscall: "open_tree" });
    expect(readdirSync(target)).toEqual([]);
    expect(await mountsAt(target)).toEqual([]);
  });

  it("remounts", async () => {
    await mountWithOptions(sys, "none", top, "none", ["remount", "ro"]);
    expect(() => writeFileSync(join(top, "x"), "")).toThrow("EROFS");
    await mountWithOptions(sys, "none", top, "none", ["remount", "rw"]);
    writeFileSync(join(top, "x"), "");
  });

  it.each([
    ["ENODEV", "no-such-type", "target"],
    ["ENOENT", "tmpfs", "absent"],
  ])("reports %s", async (code, fstype, target) => {
    await expect(mountWithOptions(sys, "none", join(top, target), fstype, [])).rejects.toMatchObject({
      code,
      syscall: "mount",
      path: join(top, target),
    });
  });
});

describe("bindMount", () => {
  it("is read-only where asked to be and keeps the flags it has", async () => {
    const [source, target, other] = ["source", "target", "other"].map((name) => join(top, name)) as [
      string,
      string,
      string,
    ];
    await bindMount(sys, source, target, ["ro", "nosuid", "nodev"]);
    expect(readFileSync(join(target, "file"), "utf8")).toBe("content");
    expect(() => writeFileSync(join(target, "new"), "")).toThrow("EROFS");
    writeFileSync(join(source, "new"), "");

    await bindMount(sys, target, other, ["noexec"]);
    expect(await options(other)).toEqual(expect.arrayContaining(["ro", "nosuid", "nodev", "noexec"]));
  });

  it("takes what is mounted below along only if recursive", async () => {
    const inner = join(top, "source/inner");
    mkdirSync(inner);
    await mountWithOptions(sys, "none", inner, "tmpfs", []);
    writeFileSync(join(inner, "deep"), "");
    await bindMount(sys, join(top, "source"), join(top, "target"));
    await bindMount(sys, join(top, "source"), join(top, "other"), ["rbind", "ro", "rslave", "noatime"]);
    expect(() => writeFileSync(join(top, "other/inner/x"), "")).toThrow("EROFS");
    expect(await options(join(top, "other/inner"))).toEqual(expect.arrayContaining(["ro", "noatime"]));
    expect(readdirSync(join(top, "target/inner"))).toEqual([]);
    expect(readdirSync(join(top, "other/inner"))).toEqual(["deep"]);
  });
});

describe("unmountTree", () => {
  it("takes nested and stacked mounts, and those in use", async () => {
    const target = join(top, "target");
    await mountWithOptions(sys, "one", target, "tmpfs", []);
    await mountWithOptions(sys, "two", target, "tmpfs", []);
    mkdirSync(join(target, "a"));
    await mountWithOptions(sys, "three", join(target, "a"), "tmpfs", []);
    using _busy = SafeRoot.open(join(target, "a"));
    await unmountTree(sys, target);
    expect(await mountsAt(target)).toEqual([]);
    await unmountTree(sys, target);
  });

  it("reports a mount in use when it may not be lazy", async () => {
    const target = join(top, "target");
    await mountWithOptions(sys, "one", target, "tmpfs", []);
    using _busy = SafeRoot.open(target);
    await expect(unmountTree(sys, target, { lazy: false })).rejects.toMatchObject({ code: "EBUSY" });
  });

  it("leaves a neighbour whose name begins alike", async () => {
    mkdirSync(join(top, "target-2"));
    await mountWithOptions(sys, "one", join(top, "target-2"), "tmpfs", []);
    await unmountTree(sys, join(top, "target"));
    expect(await mountsAt(join(top, "target-2"))).toHaveLength(1);
  });
});

describe("SafeRoot with mounts", () => {
  it("refuses to remove through a mount", async () => {
    mkdirSync(join(top, "target/a/b"), { recursive: true });
    await bindMount(sys, join(top, "source"), join(top, "target/a/b"));
    using safe = SafeRoot.open(top);
    await expect(safe.removeTree("target")).rejects.toMatchObject({ code: "EXDEV" });
    expect(readFileSync(join(top, "source/file"), "utf8")).toBe("content");
  });

  it("mounts on what a path resolves to inside the root", async () => {
    symlinkSync("/target", join(top, "link"));
    using safe = SafeRoot.open(top);
    const target = safe.openFile("link", OpenFlag.PATH);
    await bindMount(sys, join(top, "source"), target, ["ro"]);
    closeSync(target);
    expect(readFileSync(join(top, "target/file"), "utf8")).toBe("content");
    expect(() => writeFileSync(join(top, "target/x"), "")).toThrow("EROFS");
  });

  it("makes devices, and sets owners, attributes and capabilities of links and files themselves", () => {
    using safe = SafeRoot.open(top);
    safe.mknod("null", 0o020666, 1, 3);
    expect(safe.lstat("null")).toMatchObject({ rdevMajor: 1, rdevMinor: 3 });
    safe.mknod("big", 0o060600, 259, 0x12345);
    expect(safe.lstat("big")).toMatchObject({ rdevMajor: 259, rdevMinor: 0x12345 });
    safe.symlink("/etc/passwd", "link");
    safe.chown("link", 12, 34);
    expect(safe.lstat("link")).toMatchObject({ uid: 12, gid: 34 });
    const capability = Buffer.from("0100000200040000000000000000000000000000", "hex");
    safe.setXattr("source/file", "security.capability", capability);
    expect(sys.lgetxattr(join(top, "source/file"), "security.capability")).toEqual(capability);
    safe.setXattr("link", "trusted.on-the-link", Buffer.from("x"));
    expect(sys.llistxattr(join(top, "link"))).toContain("trusted.on-the-link");
    sys.lremovexattr(join(top, "link"), "trusted.on-the-link");
    expect(sys.llistxattr(join(top, "link"))).not.toContain("trusted.on-the-link");
  });
});
