import { once } from "node:events";
import { closeSync, mkdtempSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { linuxSyscalls, Socket } from "@nacre/kata-sys-util";
import { afterEach, beforeEach, expect, it } from "vitest";

import { startAgent } from "../fixtures/agent-harness.ts";
import { ALLOW_ALL } from "../fixtures/agent-requests.ts";

const sys = linuxSyscalls();
let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "nacre-start-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

it("tells whoever started it that it is ready, once its port is open", async () => {
  const path = join(folder, "notify");
  const fd = sys.socket(Socket.AF_UNIX, Socket.DGRAM);
  sys.unixBind(fd, path);
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const watch = sys.poll(fd, { readable: true }, ({ error }) => (error === undefined ? resolve() : reject(error)));
  const agent = await startAgent({ policy: ALLOW_ALL, prepare: `export NOTIFY_SOCKET=${path}` });
  try {
    await promise;
    expect(sys.recvmsg(fd, 100, 0)?.data.toString()).toBe("READY=1\n");
    // No look at the log: it comes by another pipe, and may be behind.
    const socket = connect(agent.socket);
    await once(socket, "connect");
    socket.destroy();
  } finally {
    watch.close();
    closeSync(fd);
    await agent.stop();
  }
});
