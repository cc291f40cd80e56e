import { OpenFlag } from "../constants.ts";
import { Errno } from "../errno.ts";
import { SysError } from "../error.ts";
import type { LibC, PollCallback } from "../native.ts";
import type { CallName } from "../signatures.ts";
import type { DescriptorCalls, IoctlPointer } from "../syscalls.ts";

const F_GETFD = 1;
const F_SETFD = 2;
const F_GETFL = 3;
const F_SETFL = 4;
const F_DUPFD_CLOEXEC = 1030;
const FD_CLOEXEC = 1;

export function descriptorCalls(libc: () => LibC): DescriptorCalls {
  /** A transfer on a non-blocking descriptor; a signal between has moved nothing, so it is asked again. */
  const transfer = (name: CallName & ("read" | "write"), fd: number, buffer: Uint8Array): number | undefined => {
    for (;;) {
      const count = libc().attempt(name, fd, buffer, buffer.length);
      if (count >= 0) return count;
      if (count === -Errno.EAGAIN) return undefined;
      if (count !== -Errno.EINTR) throw SysError.fromErrno(-count, name);
    }
  };
  const change = (fd: number, get: number, set: number, bit: number, on: boolean): void => {
    const flags = libc().call("fcntl", undefined, fd, get, 0);
    const wanted = on ? flags | bit : flags & ~bit;
    if (wanted !== flags) libc().call("fcntl", undefined, fd, set, wanted);
  };

  return {
    pipe2: (flags = 0) => {
      const ends = Buffer.alloc(8);
      libc().call("pipe2", undefined, ends, flags | OpenFlag.CLOEXEC);
      return [ends.readInt32LE(0), ends.readInt32LE(4)];
    },
    eventfd: () => libc().call("eventfd", undefined, 0, OpenFlag.CLOEXEC | OpenFlag.NONBLOCK),
    setNonBlocking: (fd, on) => {
      change(fd, F_GETFL, F_SETFL, OpenFlag.NONBLOCK, on);
    },
    setCloseOnExec: (fd, on) => {
      change(fd, F_GETFD, F_SETFD, FD_CLOEXEC, on);
    },
    dup: (fd) => libc().call("fcntl", undefined, fd, F_DUPFD_CLOEXEC, 0),
    ioctl: (fd, request, argument) =>
      // A number goes as the pointer's value: that is how ioctl takes one.
      libc().call("ioctl", undefined, fd, request, typeof argument === "number" ? BigInt(argument) : argument),
    ioctlLater: async (fd, request, argument, pointers = []) => {
      const held = putAddresses(libc(), argument, pointers);
      try {
        return await libc().later("ioctl", undefined, fd, request, argument);
      } finally {
        // Addresses are numbers: nothing else keeps the blocks where they are until the kernel is done with them.
        held.length = 0;
      }
    },
    read: (fd, buffer) => transfer("read", fd, buffer),
    write: (fd, buffer) => transfer("write", fd, buffer),
    poll: (fd, events, callback) => {
      let running = true;
      const report: PollCallback = (status, ready) => {
        // koffi calls straight from libuv, outside any callback scope of Node, where promises would not go on until
        // something else ran; an immediate runs in the same turn of the loop and inside one.
        setImmediate(() => {
          if (!running) return;
          callback({ ...ready, error: status < 0 ? SysError.fromErrno(-status, "poll") : undefined });
        });
      };
      const handle = libc().poll(fd, events, report);
      return {
        start: () => {
          running = true;
          handle.start(events, report);
        },
        stop: () => {
          running = false;
          handle.stop();
        },
        close: () => {
          running = false;
          handle.close();
        },
        ref: () => {
          handle.ref();
        },
        unref: () => {
          handle.unref();
        },
      };
    },
  };
}

/** Writes each block's address where it belongs; what must be kept. */
function putAddresses(libc: LibC, into: Buffer, pointers: readonly IoctlPointer[]): Buffer[] {
  return pointers.flatMap(({ offset, block, inner = [] }) => {
    const held = putAddresses(libc, block, inner);
    into.writeBigUInt64LE(libc.koffi.address(block), offset);
    return [block, ...held];
  });
}
