import { chmodSync, mkdtempDisposableSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { linuxSyscalls, Reaper } from "@nacre/kata-sys-util";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { Daemons } from "../src/daemons.ts";
import { Log } from "../src/log.ts";

const sys = linuxSyscalls();
let folder: ReturnType<typeof mkdtempDisposableSync>;
let reaper: Reaper;
let daemons: Daemons;
let failed: Promise<unknown>;
let told: string[];

beforeEach(() => {
  folder = mkdtempDisposableSync(join(tmpdir(), "daemons-"));
  const { promise, resolve } = Promise.withResolvers<unknown>();
  failed = promise;
  told = [];
  const log = new Log((_priority, text) => told.push(text), "debug");
  daemons = new Daemons({ log, output: () => "ignore", fail: resolve });
  // A subreaper gets orphans as process 1 does.
  reaper = new Reaper({ sys, unwatched: daemons.orphanEnded });
  reaper.start();
});
afterEach(() => {
  reaper.stop();
  sys.setChildSubreaper(false);
  folder.remove();
});

function program(name: string, script: string): string {
  const path = join(folder.path, name);
  writeFileSync(path, `#!/bin/sh\n${script}\n`);
  chmodSync(path, 0o755);
  return path;
}

describe("Daemons", () => {
  it("names one that dies at once", async () => {
    const path = program("nv-fabricmanager", "exit 1");
    await daemons.start([path, "-c", "/run/fabricmanager.cfg"]);
    expect(await failed).toMatchObject({ code: "daemon", message: `${path} ended with status 1` });
    expect(told).toContain(`NVRC ${path} -c /run/fabricmanager.cfg`);
  });

  it("names one that is killed later", async () => {
    const path = program("nvlsm", "kill -SEGV $$");
    await daemons.start([path]);
    expect(await failed).toMatchObject({ message: `${path} ended with signal SIGSEGV` });
  });

  it("names one that cannot be started", async () => {
    await expect(daemons.start(["/no/such"])).rejects.toMatchObject({ code: "daemon", message: "start /no/such" });
  });

  it("watches what a daemon leaves behind when it goes to the background", async () => {
    const path = program("nvidia-persistenced", "( exit 7 ) & exit 0");
    await daemons.start([path]);
    // By its name, of which the kernel keeps 15 characters.
    expect(await failed).toMatchObject({ message: `${path} ended with status 7` });
  });

  it("lets go one that ends with status 0, and orphans of other names", async () => {
    await daemons.start([program("nv-hostengine", "exit 0")]);
    daemons.orphanEnded({ pid: 4711, code: 0, signal: undefined }, "nv-hostengine");
    daemons.orphanEnded({ pid: 4711, code: 9, signal: undefined }, "somebody-else");
    daemons.orphanEnded({ pid: 4711, code: undefined, signal: 11 }, "nv-hostengine");
    expect(await failed).toMatchObject({
      message: expect.stringMatching(/nv-hostengine ended with signal 11$/u) as string,
    });
  });
});
