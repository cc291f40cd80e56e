import { closeSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { linuxSyscalls, notify, Socket } from "../src/index.ts";

const sys = linuxSyscalls();

describe("notify", () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "notify-"));
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  it.each([
    ["a path", () => join(folder, "s")],
    ["an abstract name", () => `@nacre-test-${folder}`],
  ])("sends one datagram to %s", (_, address) => {
    const fd = sys.socket(Socket.AF_UNIX, Socket.DGRAM);
    try {
      sys.unixBind(fd, address());
      notify(sys, address(), "READY=1\nSTATUS=up\n");
      const got = sys.recvmsg(fd, 100, 0);
      expect([got?.data.toString(), got?.truncated]).toEqual(["READY=1\nSTATUS=up\n", false]);
      expect(sys.recvmsg(fd, 100, 0)).toBeUndefined();
    } finally {
      closeSync(fd);
    }
  });

  it.each([
    ["nothing", "", "EINVAL"],
    ["a relative path", "run/notify", "EINVAL"],
    ["a bare @", "@", "EINVAL"],
    ["a path with nobody behind it", "/nowhere/notify", "ENOENT"],
    ["a path that no socket has room for", `/${"x".repeat(200)}`, "ENAMETOOLONG"],
    ["a name with a NUL", "@a\0b", "EINVAL"],
  ])("fails for %s", (_, address, code) => {
    expect(() => notify(sys, address, "READY=1")).toThrow(expect.objectContaining({ code }));
  });
});
