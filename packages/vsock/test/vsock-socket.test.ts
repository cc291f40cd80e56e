import { join } from "node:path";

import { linuxSyscalls, Socket, SysError } from "@nacre/kata-sys-util";
import type { Transport } from "@nacre/ttrpc";
import { describe, expect, it } from "vitest";
import { dial, listen, socketFromFd, socketTransport, type VsockCalls } from "../src/index.ts";
import { Accepted, folder, Recorder } from "./sockets.ts";

const real = linuxSyscalls();

/** System calls of a machine without the family. */
function without(errno: number): VsockCalls {
  return {
    socket: () => {
      throw SysError.fromErrno(errno, "socket");
    },
    vsockBind: () => expect.unreachable(),
    vsockConnect: () => expect.unreachable(),
    vsockLocalAddress: () => expect.unreachable(),
    vsockPeerAddress: () => expect.unreachable(),
    socketError: () => expect.unreachable(),
    poll: () => expect.unreachable(),
  };
}

/** System calls where a connect meets a socket pair instead of the network; the far end comes back. */
function paired(connect: (fd: number) => boolean): { calls: VsockCalls; far: () => number; asked: unknown[] } {
  let far = -1;
  const asked: unknown[] = [];
  const calls: VsockCalls = {
    socket: (family, type) => {
      asked.push([family, type]);
      const [a, b] = real.socketpair();
      far = b;
      return a;
    },
    vsockBind: (_fd, address) => void asked.push(address),
    vsockConnect: (fd, address) => {
      asked.push(address);
      return connect(fd);
    },
    vsockLocalAddress: () => ({ cid: 0xffffffff, port: 77 }),
    vsockPeerAddress: () => expect.unreachable(),
    socketError: () => 0,
    poll: (fd, events, callback) => real.poll(fd, events, callback),
  };
  return { calls, far: () => far, asked };
}

describe("a machine without vsock", () => {
  it.each([
    [97, "EAFNOSUPPORT"],
    [19, "ENODEV"],
  ])("is told so (errno %i)", async (errno, name) => {
    const expected = (operation: string): unknown =>
      expect.objectContaining({
        code: "unsupported",
        message: `${operation}: this machine has no vsock: socket: ${name}`,
      });
    await expect(listen("vsock://-1:1024", () => {}, { syscalls: without(errno) })).rejects.toEqual(expected("listen"));
    await expect(dial("vsock://3:1024", { syscalls: without(errno) })).rejects.toEqual(expected("connect"));
  });
});

describe("a vsock connection", () => {
  it.each([
    ["at once", true],
    ["later", false],
  ])("that is made %s is a transport like any other", async (_when, atOnce) => {
    const { calls, far, asked } = paired(() => atOnce);
    const near = new Recorder(await dial("vsock://3:1024", { syscalls: calls }));
    expect(asked).toEqual([[40, 1], { cid: 3, port: 1024 }]);
    const peer = new Recorder(socketTransport(socketFromFd(far())));
    near.send("to the peer");
    peer.send("and back");
    await peer.until((p) => p.text === "to the peer");
    await near.until((n) => n.text === "and back");
    near.transport.end();
    await peer.until((p) => p.ended);
    peer.transport.end();
    await near.until((n) => n.closed);
  });

  it("that fails later rejects with what the kernel says", async () => {
    const { calls, far } = paired(() => false);
    await expect(dial("vsock://3:1024", { syscalls: { ...calls, socketError: () => 111 } })).rejects.toMatchObject({
      code: "refused",
      message: "connect to vsock 3:1024: connect: ECONNREFUSED",
    });
    socketFromFd(far()).destroy();
  });

  it("that never comes is given up", async () => {
    const { calls, far } = paired(() => false);
    const never: VsockCalls = { ...calls, poll: (fd) => real.poll(fd, { readable: true }, () => {}) };
    await expect(dial("vsock://3:1024", { syscalls: never, timeoutMs: 20 })).rejects.toMatchObject({ code: "timeout" });
    socketFromFd(far()).destroy();
  });

  it("needs a context id", async () => {
    await expect(dial("vsock://-1:1024")).rejects.toMatchObject({ code: "address" });
  });
});

/** System calls of a listener whose socket is in truth a unix one, at `path`; its peers have the ids of `cids`. */
function onUnix(path: string, cids: number[]): VsockCalls {
  return {
    ...without(97),
    socket: () => real.socket(Socket.AF_UNIX, Socket.STREAM),
    vsockBind: (fd) => real.unixBind(fd, path),
    vsockLocalAddress: () => ({ cid: 0xffffffff, port: 77 }),
    vsockPeerAddress: () => ({ cid: cids.shift() ?? 0, port: 5 }),
  };
}

describe("connections that come over vsock", () => {
  it("are taken from those whom the listener wants, and closed for others", async () => {
    const path = join(folder(), "s");
    const accepted = new Accepted<Transport>();
    const asked: number[] = [];
    const listener = await listen("vsock://-1:77", accepted.push, {
      syscalls: onUnix(path, [1, 2]),
      vsockPeers: (cid) => asked.push(cid) > 0 && cid === 2,
    });
    const stranger = new Recorder(await dial(`unix://${path}`));
    await stranger.until((one) => one.closed || one.ended);
    const host = new Recorder(await dial(`unix://${path}`));
    const served = new Recorder(await accepted.next());
    host.send("hello");
    await served.until((one) => one.text === "hello");
    expect(asked).toEqual([1, 2]);
    stranger.transport.destroy();
    host.transport.destroy();
    await served.until((one) => one.closed || one.ended);
    served.transport.destroy();
    await listener.close();
  });

  it("are none when the peer is gone before it can be asked for", async () => {
    const path = join(folder(), "s");
    const gone: VsockCalls = {
      ...onUnix(path, []),
      vsockPeerAddress: () => {
        throw SysError.fromErrno(107, "getpeername");
      },
    };
    const listener = await listen("vsock://-1:77", () => expect.unreachable(), { syscalls: gone });
    const peer = new Recorder(await dial(`unix://${path}`));
    await peer.until((one) => one.closed || one.ended);
    peer.transport.destroy();
    await listener.close();
  });
});

describe("listening on vsock", () => {
  it("binds what was asked for, or says that the kernel cannot", async () => {
    const accepted = new Accepted<Transport>();
    // Port "any": the kernel chooses. Where it has the family (no device is needed to listen) this is the real thing.
    const outcome = await listen("vsock://-1:4294967295", accepted.push).then(
      async (listener) => {
        const { address } = listener;
        await expect(listen(address, () => {})).rejects.toMatchObject({ code: "in-use" });
        await listener.close();
        return address;
      },
      (e: { code: string }) => e.code,
    );
    expect(outcome).toMatch(/^(vsock:\/\/-1:\d+|unsupported)$/);
    expect(outcome).not.toBe("vsock://-1:4294967295");
  });
});
