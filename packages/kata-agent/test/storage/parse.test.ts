import { describe, expect, it } from "vitest";

import { parsePullMetadata } from "../../src/storage/image-guest-pull.ts";
import { mountPointComponents } from "../../src/storage/mount-point.ts";
import { parseStorageOptions } from "../../src/storage/options.ts";

describe("mountPointComponents", () => {
  it.each([
    ["/run/kata-containers/sandbox/shm", ["sandbox", "shm"]],
    [
      "/run/kata-containers/shared/containers/x/rootfs/local/scratch",
      ["shared", "containers", "x", "rootfs", "local", "scratch"],
    ],
    ["//run/./kata-containers//sandbox/a/", ["sandbox", "a"]],
  ])("%s", (path, components) => {
    expect(mountPointComponents(path)).toEqual(components);
  });

  it.each([
    ["", "Invalid path: "],
    ["relative/x", "Invalid path: relative/x"],
    ["/", "expected a path below"],
    ["/run/kata-containers", "expected a path below"],
    ["/run/kata-containers/sandbox", "expected a path below"],
    ["/run/kata-containers/c1/rootfs", "expected a path below"],
    ["/run/kata-containers/image/layers", "expected a path below"],
    ["/run/kata-containers-evil/sandbox/x", "expected a path below"],
    ["/etc", "expected a path below"],
    ["/run/kata-containers/sandbox/../c1/rootfs", "Invalid path"],
    ["/run/kata-containers/sandbox/a\0b", "Invalid path"],
  ])("refuses %j", (path, cause) => {
    expect(() => mountPointComponents(path)).toThrow(
      expect.objectContaining({
        code: 13,
        message: "Could not create mountpoint",
        cause: expect.objectContaining({ message: expect.stringContaining(cause) as string }) as Error,
      }),
    );
  });
});

describe("parseStorageOptions", () => {
  it("takes out group and mode and keeps the rest", () => {
    expect(parseStorageOptions(["noexec", "mode=1777", "size=67108864", "fsgid=100"])).toEqual({
      mode: 0o1777,
      fsGid: 100,
      rest: ["noexec", "size=67108864"],
    });
  });

  it("has nothing to say about no options", () => {
    expect(parseStorageOptions([])).toEqual({ mode: undefined, fsGid: undefined, rest: [] });
  });

  it.each(["fsgid=", "fsgid=-1", "fsgid=4294967295", "fsgid=x", "mode=", "mode=0888", "mode=rwx", "mode=0777777"])(
    "refuses %s",
    (option) => {
      expect(() => parseStorageOptions([option])).toThrow(/expected/);
    },
  );
});

describe("parsePullMetadata", () => {
  it("reads the metadata as text without a prototype", () => {
    const metadata = parsePullMetadata(["other=1", 'image_guest_pull={"metadata":{"a":"b","__proto__":"c"}}']);
    expect(Object.entries(metadata)).toEqual([
      ["a", "b"],
      ["__proto__", "c"],
    ]);
    expect(Object.getPrototypeOf(metadata)).toBeNull();
  });

  it.each([
    [[], "missing Image information for ImagePull volume"],
    [["image_guest_pull"], "missing Image information for ImagePull volume"],
    [["image_guest_pull={nope"], "image_guest_pull: expected JSON"],
    [["image_guest_pull=[]"], "image_guest_pull: expected an object with metadata"],
    [["image_guest_pull=null"], "image_guest_pull: expected an object with metadata"],
    [['image_guest_pull={"metadata":[]}'], "image_guest_pull: expected an object with metadata"],
    [['image_guest_pull={"metadata":{"a":1}}'], "image_guest_pull: expected text for a"],
  ])("refuses %j", (options, message) => {
    expect(() => parsePullMetadata(options)).toThrow(message);
  });

  it("refuses more entries than any annotation list has", () => {
    const metadata = Object.fromEntries(Array.from({ length: 1025 }, (_, i) => [`k${i}`, ""]));
    expect(() => parsePullMetadata([`image_guest_pull=${JSON.stringify({ metadata })}`])).toThrow("too many");
  });
});
