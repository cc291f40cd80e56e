import { type MountInfo, recordingSyscalls } from "@nacre/kata-sys-util";
import { describe, expect, it } from "vitest";

import { MOUNTS, mountAll, SIMULATED_MOUNTS, topmost } from "../src/mounts.ts";

const mount = (mountPoint: string, fsType: string): MountInfo => ({
  id: 1,
  parentId: 0,
  major: 0,
  minor: 1,
  root: "/",
  mountPoint,
  options: [],
  propagation: [],
  fsType,
  source: "",
  superOptions: [],
});

describe("mountAll", () => {
  it("leaves alone what is mounted with the expected type", async () => {
    const sys = recordingSyscalls();
    await mountAll(sys, [{ target: "/proc", type: "proc", options: ["nosuid"] }]);
    expect(sys.calls).toEqual([]);
  });

  it("ends the boot where something else is mounted", async () => {
    const wrong = { target: "/proc", type: "sysfs", options: [] };
    await expect(mountAll(recordingSyscalls(), [wrong])).rejects.toMatchObject({
      code: "mount",
      message: "mount /proc: expected sysfs, got proc",
    });
  });

  it("mounts what is missing, with its options", async () => {
    const sys = recordingSyscalls();
    await mountAll(sys, [{ target: "/no/such/place", type: "tmpfs", options: ["nosuid", "nodev", "mode=0755"] }]);
    expect(sys.calls).toEqual([{ name: "mount", args: ["tmpfs", "/no/such/place", "tmpfs", 2 | 4, "mode=0755"] }]);
  });

  it("mounts folders before what lies in them", () => {
    const targets = MOUNTS.map(({ target }) => target);
    expect(targets.indexOf("/dev")).toBeLessThan(targets.indexOf("/dev/pts"));
    expect(targets.indexOf("/dev")).toBeLessThan(targets.indexOf("/dev/shm"));
    expect(targets[0]).toBe("/proc");
  });
});

it("a simulated guest shows neither the machine's devices nor a writable sysfs", () => {
  const at = (path: string): unknown => SIMULATED_MOUNTS.find(({ target }) => target === path);
  expect(at("/dev")).toMatchObject({ type: "tmpfs" });
  expect(at("/sys")).toMatchObject({ type: "sysfs", options: ["nosuid", "noexec", "nodev", "ro"] });
  expect(SIMULATED_MOUNTS.map(({ target }) => target)).toEqual(MOUNTS.map(({ target }) => target));
});

describe("topmost", () => {
  it("is the mount that was made last", () => {
    expect(topmost([mount("/run", "ext4"), mount("/run", "tmpfs"), mount("/", "overlay")], "/run")?.fsType).toBe(
      "tmpfs",
    );
    expect(topmost([mount("/", "overlay")], "/run")).toBeUndefined();
  });
});
