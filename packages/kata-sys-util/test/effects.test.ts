import { describe, expect, it } from "vitest";

import {
  Errno,
  linuxEffects,
  recordingEffects,
  recordingSyscalls,
  Reboot,
  type RecordedEffect,
  SysError,
} from "../src/index.ts";

describe("effects of a real machine", () => {
  it("reach the port", async () => {
    const sys = recordingSyscalls();
    const effects = linuxEffects(sys);
    await effects.setClock(1_700_000_000_123_456_789n);
    await effects.swapOn("/dev/zram0");
    await effects.swapOff("/dev/zram0");
    await effects.powerOff();
    await effects.restart();
    await effects.catchCtrlAltDel();
    expect(sys.calls).toEqual([
      { name: "clockSettime", args: [1_700_000_000_123_456_789n] },
      { name: "swapon", args: ["/dev/zram0", 0] },
      { name: "swapoff", args: ["/dev/zram0"] },
      { name: "sync", args: [] },
      { name: "reboot", args: [Reboot.POWER_OFF] },
      { name: "sync", args: [] },
      { name: "reboot", args: [Reboot.RESTART] },
      { name: "reboot", args: [Reboot.CAD_OFF] },
    ]);
  });

  it("load a module from its file, and take one that is there already for loaded", async () => {
    const codes = [undefined, Errno.EEXIST, Errno.ENOEXEC];
    const sys = recordingSyscalls({
      finitModule: async () => {
        const errno = codes.shift();
        if (errno !== undefined) throw SysError.fromErrno(errno, "finit_module");
      },
    });
    const effects = linuxEffects(sys);
    await effects.insertModule("/dev/null");
    await effects.insertModule("/dev/null");
    await expect(effects.insertModule("/dev/null")).rejects.toMatchObject({ code: "ENOEXEC" });
    await expect(effects.insertModule("/no/such.ko")).rejects.toMatchObject({ code: "ENOENT" });
    expect(sys.calls).toHaveLength(3);
  });

  it("refuse names that modprobe would read as options, and numbers that are none", async () => {
    const effects = linuxEffects(recordingSyscalls());
    await expect(effects.loadModule("-r", [])).rejects.toThrow(
      'modprobe: expected a module and its parameters, got "-r"',
    );
    await expect(effects.loadModule("../x", [])).rejects.toMatchObject({ code: "EINVAL" });
    await expect(effects.loadModule("dm_verity", ["--config=/tmp/x"])).rejects.toMatchObject({ code: "EINVAL" });
    await expect(effects.onlineCpu(-1)).rejects.toThrow("expected a number from 0, got -1");
    for (const name of ["kernel", "../kernel.x", "kernel/x", "kernel..x", ""]) {
      await expect(effects.setSysctl(name, "1")).rejects.toMatchObject({ code: "EINVAL" });
    }
    await expect(effects.adjustOomScore(-1, 0)).rejects.toMatchObject({ code: "EINVAL" });
    await expect(effects.onlineMemory(0.5)).rejects.toThrow("expected a number from 0, got 0.5");
  });
});

describe("recordingEffects", () => {
  it("tells each effect and does nothing", async () => {
    const seen: RecordedEffect[] = [];
    const effects = recordingEffects((effect) => seen.push(effect));
    await effects.setClock(1n);
    await effects.onlineCpu(3);
    await effects.onlineMemory(4);
    await effects.loadModule("fuse", ["a=1"]);
    await effects.loadModule("nvidia", [], "/x");
    await effects.insertModule("/m.ko");
    await effects.lockModules();
    await effects.setSysctl("kernel.x", "1");
    await effects.adjustOomScore(2, -997);
    await effects.catchCtrlAltDel();
    await effects.swapOn("/s");
    await effects.swapOff("/s");
    await effects.powerOff();
    await effects.restart();
    expect(seen.map(({ name, args }) => `${name} ${args.join()}`.trim())).toEqual([
      "setClock 1",
      "onlineCpu 3",
      "onlineMemory 4",
      "loadModule fuse,a=1",
      "loadModule nvidia,,/x",
      "insertModule /m.ko",
      "lockModules",
      "setSysctl kernel.x,1",
      "adjustOomScore 2,-997",
      "catchCtrlAltDel",
      "swapOn /s",
      "swapOff /s",
      "powerOff",
      "restart",
    ]);
  });
});

describe("recordingSyscalls", () => {
  it("has every call of the real port, records them, and makes up no answer", async () => {
    const sys = recordingSyscalls({ openat2: () => 7, umount2: () => Promise.reject(new Error("busy")) });
    await sys.mount("a", "/b", "tmpfs", 0);
    expect(sys.openat2(3, "x", { flags: 0 })).toBe(7);
    await expect(sys.umount2("/b")).rejects.toThrow("busy");
    await expect(sys.statfs("/")).rejects.toMatchObject({ code: "ENOSYS" });
    expect(() => sys.pipe2()).toThrow("pipe2: expected an answer, got none");
    expect(sys.waitid({ all: true }, 1)).toBeUndefined();
    expect(sys.calls.map((call) => call.name)).toEqual(["mount", "openat2", "umount2", "statfs", "pipe2", "waitid"]);
  });
});
