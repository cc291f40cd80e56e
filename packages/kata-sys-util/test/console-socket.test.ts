import { closeSync, existsSync, mkdtempSync, readdirSync, readlinkSync, rmSync, statSync } from "node:fs";
import { createConnection } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { ConsoleSocket, linuxSyscalls, openPtyPair, ptyNumber, Socket } from "../src/index.ts";

const sys = linuxSyscalls();
let folder: string;
let path: string;
let socket: ConsoleSocket;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "console-"));
  path = join(folder, "console.sock");
  socket = ConsoleSocket.listen(path, sys);
});

afterEach(() => {
  socket.close();
  rmSync(folder, { recursive: true });
});

function connect(): number {
  const fd = sys.socket(Socket.AF_UNIX, Socket.STREAM);
  sys.unixConnect(fd, path);
  return fd;
}

/** How many masters of terminals this process has open. */
function openMasters(): number {
  return readdirSync("/proc/self/fd").filter((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`).endsWith("/ptmx");
    } catch {
      // The listing's own.
      return false;
    }
  }).length;
}

describe("ConsoleSocket", () => {
  it("receives the master that a runtime sends with its name", async () => {
    const pty = openPtyPair(sys);
    const receiving = socket.receive();
    const runtime = connect();
    sys.sendmsg(runtime, Buffer.from("/dev/pts/0"), [pty.master]);
    const master = await receiving;
    expect(ptyNumber(sys, master)).toBe(ptyNumber(sys, pty.master));
    expect(statSync(path).mode & 0o777).toBe(0o600);
    for (const fd of [master, runtime, pty.master, pty.slave]) closeSync(fd);
  });

  it("takes a descriptor that comes after bytes sent one at a time", async () => {
    const pty = openPtyPair(sys);
    const runtime = connect();
    const receiving = socket.receive();
    for (const byte of Buffer.from("name")) sys.sendmsg(runtime, Buffer.of(byte), []);
    sys.sendmsg(runtime, Buffer.from("!"), [pty.master]);
    const master = await receiving;
    for (const fd of [master, runtime, pty.master, pty.slave]) closeSync(fd);
  });

  it("refuses a runtime that goes away without one", async () => {
    const receiving = socket.receive();
    closeSync(connect());
    await expect(receiving).rejects.toMatchObject({ code: "ECONNRESET" });
  });

  it("refuses bytes without end", async () => {
    const runtime = connect();
    const receiving = socket.receive();
    sys.sendmsg(runtime, Buffer.alloc(5000), []);
    await expect(receiving).rejects.toMatchObject({
      code: "EBADMSG",
      message: expect.stringContaining("expected one terminal, got no descriptor") as string,
    });
    closeSync(runtime);
  });

  it.each([2, 8, 9, 20])("refuses %i descriptors and closes them", async (count) => {
    const before = openMasters();
    const pty = openPtyPair(sys);
    const runtime = connect();
    sys.sendmsg(
      runtime,
      Buffer.from("x"),
      Array.from({ length: count }, () => pty.master),
    );
    await expect(socket.receive()).rejects.toMatchObject({ code: "EBADMSG" });
    expect(openMasters()).toBe(before + 1);
    for (const fd of [runtime, pty.master, pty.slave]) closeSync(fd);
  });

  it("refuses what is no terminal's master, and closes it", async () => {
    const [read, write] = sys.pipe2();
    const pty = openPtyPair(sys);
    const runtime = connect();
    sys.sendmsg(runtime, Buffer.from("x"), [read]);
    await expect(socket.receive()).rejects.toMatchObject({ code: "ENOTTY" });
    for (const fd of [runtime, read, write, pty.master, pty.slave]) closeSync(fd);
  });

  it("stops waiting when told to, before and after the connection", async () => {
    await expect(socket.receive(AbortSignal.abort(new Error("early")))).rejects.toThrow("early");
    const waiting = new AbortController();
    const first = socket.receive(waiting.signal);
    waiting.abort(new Error("late"));
    await expect(first).rejects.toThrow("late");

    const controller = new AbortController();
    const runtime = createConnection(path);
    const second = socket.receive(controller.signal);
    await new Promise((resolve) => runtime.once("connect", resolve));
    controller.abort(new Error("never sent"));
    await expect(second).rejects.toThrow("never sent");
    runtime.destroy();
  });

  it("refuses a path in use and one that is too long, and removes its own", () => {
    expect(() => ConsoleSocket.listen(path, sys)).toThrow("bind: EADDRINUSE");
    expect(() => ConsoleSocket.listen(join(folder, "x".repeat(108)), sys)).toThrow("bind: ENAMETOOLONG");
    socket.close();
    expect(existsSync(path)).toBe(false);
    socket.close();
  });
});
