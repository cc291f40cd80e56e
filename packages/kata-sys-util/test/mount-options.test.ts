import { describe, expect, it } from "vitest";

import { MountFlag, parseMountOptions } from "../src/index.ts";

describe("parseMountOptions", () => {
  it.each([
    [[], 0, ""],
    [["defaults"], 0, ""],
    [["ro", "nosuid", "nodev", "noexec"], 0xf, ""],
    [["ro", "rw"], 0, ""],
    [["rw", "ro"], 1, ""],
    [["nosuid", "suid", "nodev", "dev", "noexec", "exec"], 0, ""],
    [["sync", "dirsync", "mand", "silent"], 0x10 | 0x80 | 0x40 | 0x8000, ""],
    [["sync", "async"], 0, ""],
    [["noatime", "nodiratime"], 0xc00, ""],
    [["noatime", "atime", "relatime"], MountFlag.RELATIME, ""],
    [["strictatime", "lazytime"], MountFlag.STRICTATIME | MountFlag.LAZYTIME, ""],
    [["bind"], 0x1000, ""],
    [["rbind", "ro"], 0x5001, ""],
    [["remount", "bind", "ro"], 0x1021, ""],
    [["mode=1777", "ro", "size=64m", ""], 1, "mode=1777,size=64m"],
    [["lowerdir=/a:/b", "upperdir=/c,with,commas"], 0, "lowerdir=/a:/b,upperdir=/c,with,commas"],
  ])("%j", (options, flags, data) => {
    expect(parseMountOptions(options)).toEqual({ flags, data, propagation: [] });
  });

  it("keeps propagation apart, in order", () => {
    const { flags, propagation, data } = parseMountOptions(["rslave", "ro", "shared", "rprivate", "runbindable"]);
    expect(flags).toBe(MountFlag.RDONLY);
    expect(data).toBe("");
    expect(propagation).toEqual([
      MountFlag.SLAVE | MountFlag.REC,
      MountFlag.SHARED,
      MountFlag.PRIVATE | MountFlag.REC,
      MountFlag.UNBINDABLE | MountFlag.REC,
    ]);
  });
});
