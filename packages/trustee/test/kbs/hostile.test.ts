import { connect, type Socket } from "node:net";
import { once } from "node:events";

import { expect, it, vi } from "vitest";

import { MemoryStorage } from "../../src/storage/memory.ts";
import { testTrustee } from "./test-trustee.ts";

it("a rule for some paths is not met by a query that ends like them", async () => {
  const made = await testTrustee();
  const headers = { authorization: made.admin({ role: "team" }) };
  try {
    expect((await made.call("POST", "/kbs/v0/resource/a/b/public", headers, "x")).status).toBe(200);
    for (const target of ["/kbs/v0/resource/a/b/secret?/public", "/kbs/v0/resource/a/b/secret?x=/public"]) {
      const refused = await made.call("POST", target, headers, "x");
      expect([refused.status, refused.body]).toEqual([401, expect.stringContaining("not allowed for path")]);
    }
  } finally {
    await made.trustee.close();
  }
});

it("ends although a client has only connected, and another stands in the middle of its body", async () => {
  const { trustee } = await testTrustee();
  const port = trustee.servers[0]?.port ?? 0;
  const sockets: Socket[] = [connect(port, "127.0.0.1"), connect(port, "127.0.0.1")];
  try {
    await Promise.all(sockets.map((socket) => once(socket, "connect")));
    for (const socket of sockets) socket.on("error", () => {});
    sockets[1]?.write("POST /kbs/v0/auth HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{");
    const ends = sockets.map((socket) => new Promise((done) => void socket.once("close", done)));
    await trustee.close();
    await Promise.all(ends);
  } finally {
    for (const socket of sockets) socket.destroy();
  }
}, 20_000);

it("leaves its storage closed when it cannot start", async () => {
  const storage = new MemoryStorage();
  const closed = vi.spyOn(storage, "close");
  vi.spyOn(storage, "list").mockRejectedValue(new Error("disk"));
  await expect(testTrustee({}, storage)).rejects.toThrow("disk");
  expect(closed).toHaveBeenCalledTimes(1);
});
