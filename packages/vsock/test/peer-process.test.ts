import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { connect, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { spawn } from "node:child_process";

import { describe, expect, it } from "vitest";

import { peerProcess } from "../src/peer-process.ts";

describe("peerProcess", () => {
  it("is whoever connected", async () => {
    const folder = mkdtempSync(join(tmpdir(), "nacre-peer-"));
    const path = join(folder, "socket");
    const server = createServer();
    server.listen(path);
    await once(server, "listening");
    const accepted = async (): Promise<Socket> => ((await once(server, "connection")) as [Socket])[0];

    const mine = accepted();
    const socket = connect(path);
    expect(peerProcess(await mine)).toBe(process.pid);
    socket.destroy();

    const other = accepted();
    const script = "require('node:net').connect(process.argv[1]).resume()";
    const child = spawn(process.execPath, ["-e", script, path]);
    const its = await other;
    expect(peerProcess(its)).toBe(child.pid);
    its.destroy();
    await once(child, "exit");
    expect(peerProcess(its)).toBeUndefined();
    server.close();
    rmSync(folder, { recursive: true });
  });

  it("is unknown in another pid namespace", () => {
    const socket = { _handle: { fd: 7 } } as unknown as Socket;
    expect(peerProcess(socket, { peerCredentials: () => ({ pid: 0, uid: 0, gid: 0 }) })).toBeUndefined();
    expect(peerProcess({ _handle: null } as unknown as Socket)).toBeUndefined();
  });
});
