import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterEach, beforeEach, describe, expect, it } from "vitest";

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
});

/** The folder is there before anybody listens in it. */
async function waitForFolder(path: string): Promise<void> {
  const { mkdir } = await import("node:fs/promises");
  await mkdir(join(path, ".."), { recursive: true });
}
