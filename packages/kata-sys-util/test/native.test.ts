import { spawnSync } from "node:child_process";
import { closeSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { describe, expect, it } from "vitest";

import { errnoName, FileType, linuxSyscalls, OpenFlag, SysError, Wait } from "../src/index.ts";
import { LibC } from "../src/native.ts";

const sys = linuxSyscalls();
const index = new URL("../src/index.ts", import.meta.url).href;

function run(source: string): string {
  const result = spawnSync(process.execPath, ["--conditions=source", "--input-type=module", "-e", source], {
    encoding: "utf8",
  });
  expect(result.stderr).toBe("");
  return result.stdout;
}

describe("the native module", () => {
  it("is loaded by the first call, not by importing or by making the port", () => {
    const loaded = `readFileSync("/proc/self/maps", "utf8").includes("koffi.node")`;
    const output = run(`
      import { readFileSync } from "node:fs";
      import { linuxSyscalls, recordingSyscalls } from ${JSON.stringify(index)};
      const sys = linuxSyscalls();
      recordingSyscalls().sethostname("none");
      console.log(${loaded});
      sys.getrlimit(7);
      console.log(${loaded});
    `);
    expect(output).toBe("false\ntrue\n");
  });

  it("works in worker threads beside the main one", () => {
    const output = run(`
      import { Worker, isMainThread, parentPort } from "node:worker_threads";
      import { linuxSyscalls } from ${JSON.stringify(index)};
      const code = 'import("${index}").then(async ({ linuxSyscalls }) => {' +
        'const sys = linuxSyscalls(); for (let i = 0; i < 100; i += 1) sys.statx(-100, "/");' +
        'await sys.umount2("/none").catch((e) => console.log(e.code)); })';
      const ends = [1, 2, 3].map(() => new Promise((resolve) => new Worker(code, { eval: true }).on("exit", resolve)));
      for (let i = 0; i < 100; i += 1) linuxSyscalls().statx(-100, "/");
      console.log((await Promise.all(ends)).join());
    `);
    expect(output).toBe("ENOENT\nENOENT\nENOENT\n0,0,0\n");
  });

  it("says which function a C library lacks", () => {
    const libc = new LibC();
    expect(() => libc.call("no_such_call" as "mount", undefined)).toThrow("no_such_call: not in this C library");
  });
});

describe("errno", () => {
  it("is the failing call's own under many calls at once on all threads", async () => {
    const folder = mkdtempSync(join(tmpdir(), "errno-"));
    // Each of these fails in another way; between them run synchronous calls that fail in yet another.
    const kinds = [
      ["ENOENT", () => sys.umount2(join(folder, "absent"))],
      ["EINVAL", () => sys.umount2(folder)],
      ["ENODEV", () => sys.mount("none", folder, "no-such-file-system", 0)],
      ["ENOTDIR", () => sys.statfs("/etc/passwd/x")],
      ["ENAMETOOLONG", () => sys.statfs(`/${"x".repeat(300)}`)],
      ["EBADF", () => sys.syncfs(-1)],
      ["ELOOP", () => sys.openat2Async(-100, "/proc/self/exe", { flags: OpenFlag.RDONLY, resolve: 2 })],
    ] as const;
    const outcomes: Promise<readonly [expected: string, got: string]>[] = [];
    for (let round = 0; round < 1400; round += 1) {
      const [expected, call] = kinds[round % kinds.length] ?? kinds[0];
      outcomes.push(
        call().then(
          () => [expected, "success"],
          (error: SysError) => [expected, error.code],
        ),
      );
      expect(() => sys.pidfdSendSignal(-1, 0)).toThrow("pidfd_send_signal: EBADF");
      // koffi runs at most 256 calls at once.
      if (outcomes.length === 200) {
        for (const [wanted, got] of await Promise.all(outcomes.splice(0))) expect(got).toBe(wanted);
      }
    }
    expect(outcomes).toEqual([]);
    rmSync(folder, { recursive: true });
  });

  it("becomes an error that names the call, the object and the number", () => {
    let error: unknown;
    try {
      sys.openat(-100, "/no/such/file", 0);
    } catch (caught) {
      error = caught;
    }
    expect(error).toBeInstanceOf(SysError);
    expect(error).toMatchObject({
      code: "ENOENT",
      errno: 2,
      syscall: "openat",
      path: "/no/such/file",
      message: 'openat: ENOENT, "/no/such/file"',
    });
    expect(errnoName(4095)).toBe("EUNKNOWN");
  });
});

describe("calls that could block", () => {
  it("refuse to wait on the event loop", () => {
    expect(() => sys.waitid({ all: true }, Wait.EXITED)).toThrow("waitid: expected WNOHANG");
  });

  it("leave the event loop free", async () => {
    const folder = mkdtempSync(join(tmpdir(), "blocking-"));
    const fifo = join(folder, "fifo");
    sys.mknodat(-100, fifo, FileType.FIFO | 0o600, 0, 0);
    // Opening a FIFO waits for its other end, which only the event loop can bring here.
    const reader = sys.openat2Async(-100, fifo, { flags: OpenFlag.RDONLY });
    for (let turn = 0; turn < 10; turn += 1) await new Promise((resolve) => setImmediate(resolve));
    const writer = await sys.openat2Async(-100, fifo, { flags: OpenFlag.WRONLY });
    closeSync(await reader);
    closeSync(writer);
    rmSync(folder, { recursive: true });
  });
});

describe("descriptors", () => {
  it("do not survive an exec", () => {
    const [read, write] = sys.pipe2();
    const copy = sys.dup(read);
    const [left, right] = sys.socketpair();
    const open = [read, write, copy, left, right];
    const listing = spawnSync("/bin/ls", ["/proc/self/fd"], { encoding: "utf8" }).stdout.split("\n");
    for (const fd of open) expect(listing).not.toContain(String(fd));
    for (const fd of open) closeSync(fd);
  });

  it("of a unix socket say who is at its other end", () => {
    const [left, right] = sys.socketpair();
    const me = { pid: process.pid, uid: process.getuid?.(), gid: process.getgid?.() };
    expect([sys.peerCredentials(left), sys.peerCredentials(right)]).toEqual([me, me]);
    for (const fd of [left, right]) closeSync(fd);
    const [read, write] = sys.pipe2();
    expect(() => sys.peerCredentials(read)).toThrow("ENOTSOCK");
    for (const fd of [read, write]) closeSync(fd);
  });

  it("are watched until told otherwise", async () => {
    const [read, write] = sys.pipe2();
    const seen: boolean[] = [];
    await new Promise<void>((resolve) => {
      const watch = sys.poll(read, { readable: true }, (ready) => {
        seen.push(ready.readable);
        if (seen.length < 3) return;
        watch.stop();
        watch.unref();
        watch.ref();
        watch.close();
        resolve();
      });
      sys.write(write, Buffer.from("x"));
    });
    expect(seen).toEqual([true, true, true]);
    closeSync(read);
    closeSync(write);
  });
});
