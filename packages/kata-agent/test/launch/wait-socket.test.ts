import { once } from "node:events";
import { linkSync, mkdtempSync, rmSync, watch } from "node:fs";
import { createServer, Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import { waitForSocket } from "../../src/launch/wait-socket.ts";

describe("waitForSocket", () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "nacre-wait-"));
  });
  afterEach(() => {
    rmSync(folder, { recursive: true });
  });

  it("resolves when somebody listens, in a folder that it makes", async () => {
    const path = join(folder, "made/socket");
    const waiting = waitForSocket(path, new AbortController().signal);
    await waitForFolder(path);
    const server = createServer((socket) => socket.destroy()).listen(path);
    await waiting;
    server.close();
  });

  it("rejects with the signal's reason, whenever that comes", async () => {
    const path = join(folder, "made/socket");
    await expect(waitForSocket(path, AbortSignal.abort(new Error("before")))).rejects.toThrow("before");
    const during = new AbortController();
    const waiting = waitForSocket(path, during.signal);
    // Between its first look at the signal and the folder that it makes.
    during.abort(new Error("during"));
    await expect(waiting).rejects.toThrow("during");
  });

  it("goes on while a name refuses, until its owner listens", async () => {
    const path = join(folder, "socket");
    await refusing(path);
    const waiting = waitForSocket(path, new AbortController().signal);
    rmSync(path);
    const server = createServer((socket) => socket.destroy()).listen(path);
    await waiting;
    server.close();
  });

  it("leaves no attempt behind: neither one under way nor one to come", async () => {
    const path = join(folder, "socket");
    await refusing(path);
    const connect = vi.spyOn(Socket.prototype, "connect");
    try {
      const ending = new AbortController();
      const waiting = waitForSocket(path, ending.signal);
      // A refusal came, and it tried again.
      await vi.waitFor(() => expect(connect.mock.calls.length).toBeGreaterThan(2), { interval: 1 });
      const socket = connect.mock.contexts.at(-1) as Socket;
      ending.abort(new Error("enough"));
      await expect(waiting).rejects.toThrow("enough");
      expect(socket.destroyed).toBe(true);
      const attempts = connect.mock.calls.length;
      for (let turn = 0; turn < 10; turn += 1) await new Promise((resolve) => setImmediate(resolve));
      expect(connect.mock.calls).toHaveLength(attempts);
    } finally {
      connect.mockRestore();
    }
  });

  it("hears of a change that comes while an attempt is under way", async () => {
    const path = join(folder, "socket");
    const connect = vi.spyOn(Socket.prototype, "connect");
    const listening = Promise.withResolvers<ReturnType<typeof createServer>>();
    // The attempt fails, and that is told only when the socket is there and all who watch its folder have heard so.
    connect.mockImplementationOnce(function (this: Socket) {
      const server = createServer((socket) => socket.destroy());
      // Of two who watch, the first is told first.
      const watcher = watch(folder, () => {
        watcher.close();
        this.destroy(Object.assign(new Error("it was not there"), { code: "ENOENT" }));
        listening.resolve(server);
      });
      server.listen(path);
      return this;
    });
    try {
      await waitForSocket(path, AbortSignal.timeout(5000));
      (await listening.promise).close();
    } finally {
      connect.mockRestore();
    }
  });
});

/** A name that refuses, as one does that was bound and is not listened on. */
async function refusing(path: string): Promise<void> {
  const server = createServer().listen(`${path}-made`);
  await once(server, "listening");
  linkSync(`${path}-made`, path);
  server.close();
  await once(server, "close");
}

/** The folder is there before anybody listens in it. */
async function waitForFolder(path: string): Promise<void> {
  const { mkdir } = await import("node:fs/promises");
  await mkdir(join(path, ".."), { recursive: true });
}
