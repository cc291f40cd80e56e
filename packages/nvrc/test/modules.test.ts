import { mkdtempDisposableSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { type Effects, Errno, recordingEffects, SysError } from "@nacre/kata-sys-util";
import { describe, expect, it } from "vitest";

import { Log } from "../src/log.ts";
import { loadModules, lockModules, parseModuleList } from "../src/modules.ts";

const log = new Log(() => {}, "off");

async function loaded(list: string | undefined, insertModule?: Effects["insertModule"]): Promise<string[]> {
  using folder = mkdtempDisposableSync(join(tmpdir(), "modules-"));
  const file = join(folder.path, "modules");
  if (list !== undefined) writeFileSync(file, list);
  const happened: string[] = [];
  const recording = recordingEffects(({ name, args }) => happened.push(`${name} ${args.join(" ")}`));
  await loadModules({ ...recording, ...(insertModule === undefined ? {} : { insertModule }) }, log, file);
  return happened;
}

describe("loadModules", () => {
  it("loads the listed modules in their order", async () => {
    const list = "# the bus first\n/usr/lib/modules/virtio.ko\n\n/usr/lib/modules/vsock.ko # the agent's port\n";
    expect(await loaded(list)).toEqual([
      "insertModule /usr/lib/modules/virtio.ko",
      "insertModule /usr/lib/modules/vsock.ko",
    ]);
  });

  it("loads nothing where the image has no list: everything is built in", async () => {
    expect(await loaded(undefined)).toEqual([]);
  });

  it("ends the boot at a module that cannot be loaded, and names it", async () => {
    const refuse = (): Promise<void> => Promise.reject(SysError.fromErrno(Errno.ENOEXEC, "finit_module"));
    await expect(loaded("/a.ko\n", refuse)).rejects.toMatchObject({ code: "module", message: "load /a.ko" });
  });

  it("takes absolute paths only", () => {
    expect(() => parseModuleList("virtio.ko\n")).toThrow("expected an absolute path, got virtio.ko");
  });
});

describe("lockModules", () => {
  const refusing = (errno: number): Effects => ({
    ...recordingEffects(() => {}),
    lockModules: () => Promise.reject(SysError.fromErrno(errno, "open")),
  });

  it("has nothing to lock in a kernel without modules", async () => {
    await expect(lockModules(refusing(Errno.ENOENT))).resolves.toBeUndefined();
  });

  it("ends the boot where the lock does not close", async () => {
    await expect(lockModules(refusing(Errno.EPERM))).rejects.toMatchObject({ code: "module" });
  });
});
