import { once } from "node:events";
import { copyFileSync, mkdtempSync, rmSync } from "node:fs";
import { createServer, type Socket } from "node:net";
import { spawn } from "node:child_process";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { describe, expect, it } from "vitest";

import { identityOf } from "../../src/guest/identity.ts";
import { runtimeProcess } from "../../src/hypervisor/runtime-process.ts";

const CONNECT = "require('node:net').connect(process.argv[1]).resume()";

describe("runtimeProcess", () => {
  it("is Kata's shim, by its program's name, and nobody else", async () => {
    const folder = mkdtempSync(join(tmpdir(), "nacre-shim-"));
    const path = join(folder, "socket");
    const shim = join(folder, "containerd-shim-kata-v2");
    copyFileSync(process.execPath, shim);
    const server = createServer();
    server.listen(path);
    await once(server, "listening");
    for (const program of [shim, process.execPath]) {
      const connected = once(server, "connection") as Promise<[Socket]>;
      const child = spawn(program, ["-e", CONNECT, path]);
      const [socket] = await connected;
      expect(runtimeProcess(socket)).toEqual(program === shim ? identityOf(child.pid ?? 0) : undefined);
      socket.destroy();
      await once(child, "exit");
      expect(runtimeProcess(socket)).toBeUndefined();
    }
    server.close();
    rmSync(folder, { recursive: true });
  });
});
