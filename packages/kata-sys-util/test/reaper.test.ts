import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { closeSync } from "node:fs";
import type { Readable, Writable } from "node:stream";

import { afterEach, describe, expect, it } from "vitest";

import { exitCode, linuxSyscalls, Reaper } from "../src/index.ts";

const sys = linuxSyscalls();
let reaper: Reaper | undefined;

afterEach(() => {
  reaper?.stop();
  sys.setChildSubreaper(false);
});

function started(): Reaper {
  reaper = new Reaper({ sys });
  reaper.start();
  return reaper;
}

interface Orphan {
  readonly pid: number;
  /** Lets it go on to its exit. */
  readonly release: () => void;
}

/** Leaves a process behind whose parent is gone; it exits with `code` once released. */
async function orphan(code: number): Promise<Orphan> {
  const shell = spawn("/bin/sh", ["-c", `(read line <&3; exit ${code}) >/dev/null 2>&1 & echo $!`], {
    stdio: ["ignore", "pipe", "inherit", "pipe"],
  });
  const gate = shell.stdio[3] as Writable;
  const output = shell.stdout as Readable;
  const [text] = (await Promise.all([once(output, "data"), exit(shell)]))[0] as [Buffer];
  return { pid: Number(text.toString()), release: () => gate.end() };
}

/** Resolves when the process has ended, whoever collects it. */
function ended(pid: number): Promise<void> {
  const pidfd = sys.pidfdOpen(pid);
  return new Promise((resolve) => {
    const watch = sys.poll(pidfd, { readable: true }, () => {
      watch.close();
      closeSync(pidfd);
      resolve();
    });
  });
}

function exit(child: ChildProcess): Promise<unknown[]> {
  return once(child, "exit");
}

describe("Reaper", () => {
  it("tells how an orphan ends", async () => {
    const it = started();
    const { pid } = await orphan(3);
    const status = it.watch(pid);
    process.kill(pid, "SIGTERM");
    expect(await status).toEqual({ pid, code: undefined, signal: 15 });
    expect(exitCode(await status)).toBe(143);
  });

  it("keeps an exit that came before anybody asked, and tells it once", async () => {
    const it = started();
    const { pid, release } = await orphan(7);
    const end = ended(pid);
    release();
    await end;
    expect(await it.watch(pid)).toEqual({ pid, code: 7, signal: undefined });
    await expect(it.watch(pid)).rejects.toMatchObject({ code: "ECHILD" });
  });

  it("leaves Node's own children to Node while both end together", async () => {
    const it = started();
    const rounds = Array.from({ length: 8 }, async (_, index) => {
      const { pid, release } = await orphan(index);
      const own = spawn("/bin/sh", ["-c", `exit ${index + 10}`]);
      release();
      const [[code], status] = await Promise.all([exit(own), it.watch(pid)]);
      expect(code).toBe(index + 10);
      expect(status.code).toBe(index);
    });
    await Promise.all(rounds);
  });

  it("collects many that end between the ends of Node's own", async () => {
    const it = started();
    const orphans = await Promise.all(Array.from({ length: 20 }, (_, index) => orphan(index)));
    const own = Array.from({ length: 20 }, () => spawn("/bin/cat", { stdio: ["pipe", "ignore", "ignore"] }));
    const ends = own.map(exit);
    for (const [index, { pid, release }] of orphans.entries()) {
      const end = ended(pid);
      own[index]?.stdin.end();
      release();
      await end;
    }
    expect((await Promise.all(ends)).map(([code]) => code)).toEqual(own.map(() => 0));
    const statuses = await Promise.all(orphans.map(({ pid }) => it.watch(pid)));
    expect(statuses.map((status) => status.code)).toEqual(orphans.map((_, index) => index));
  });

  it("looks behind a child of Node's that the kernel shows first", async () => {
    let first = 0;
    // As when libuv is late: asked about any child, the kernel shows this one again and again.
    const late = {
      ...sys,
      waitid: (...[target, options]: Parameters<typeof sys.waitid>) =>
        "all" in target && first !== 0 ? { pid: first, uid: 0, code: 1, status: 0 } : sys.waitid(target, options),
    };
    reaper = new Reaper({ sys: late });
    reaper.start();
    const own = spawn("/bin/cat");
    first = own.pid ?? 0;
    const { pid, release } = await orphan(5);
    const status = reaper.watch(pid);
    release();
    expect(await status).toEqual({ pid, code: 5, signal: undefined });
    own.kill();
    await exit(own);
  });

  it("refuses what is not a child, what Node spawned, and what it no longer watches", async () => {
    const it = started();
    await expect(it.watch(1)).rejects.toMatchObject({ code: "ECHILD" });
    const own = spawn("/bin/cat");
    await expect(it.watch(own.pid ?? 0)).rejects.toMatchObject({ code: "EINVAL" });
    own.kill();
    await exit(own);
    const failed = spawn("/no/such/program");
    await once(failed, "error");

    const { pid } = await orphan(0);
    const status = it.watch(pid);
    it.stop();
    await expect(status).rejects.toMatchObject({ code: "ECANCELED" });
    process.kill(pid, "SIGKILL");
    it.start();
    expect(await it.watch(pid)).toMatchObject({ signal: 9 });
  });
});
