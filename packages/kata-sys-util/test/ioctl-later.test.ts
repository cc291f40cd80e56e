import { once } from "node:events";
import { createServer } from "node:net";
import { endianness } from "node:os";

import { expect, it } from "vitest";

import { linuxSyscalls } from "../src/index.ts";

/** sys/socket.h: the interfaces with an address, by a length and a pointer. */
const SIOCGIFCONF = 0x8912;
const IFCONF = 16;
const POINTER_AT = 8;

it("an ioctl on another thread writes behind the pointers of its argument", async () => {
  expect(endianness()).toBe("LE");
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  try {
    const { fd } = (server as unknown as { readonly _handle: { readonly fd: number } })._handle;
    const block = Buffer.alloc(4096);
    const argument = Buffer.alloc(IFCONF);
    argument.writeUInt32LE(block.length);
    await linuxSyscalls().ioctlLater(fd, SIOCGIFCONF, argument, [{ offset: POINTER_AT, block }]);
    const length = argument.readUInt32LE();
    expect(length).toBeGreaterThan(0);
    const names = Array.from({ length: length / 40 }, (_, i) => block.toString("latin1", i * 40, i * 40 + 16));
    expect(names.map((name) => name.slice(0, name.indexOf("\0")))).toContain("lo");
  } finally {
    server.close();
  }
});

it("an ioctl on another thread rejects with what the kernel says", async () => {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  try {
    const { fd } = (server as unknown as { readonly _handle: { readonly fd: number } })._handle;
    // sg.h: no socket answers it.
    await expect(linuxSyscalls().ioctlLater(fd, 0x2285, Buffer.alloc(8))).rejects.toThrow("ioctl: ENOTTY");
  } finally {
    server.close();
  }
});
