import { SysError } from "./error.ts";
import { Errno } from "./errno.ts";
import { linuxSyscalls } from "./linux/index.ts";
import type { Syscalls } from "./syscalls.ts";

/** One call that reached a recording port. */
export interface RecordedCall {
  readonly name: keyof Syscalls;
  readonly args: readonly unknown[];
}

/** The port that touches nothing, and what was asked of it, in order. */
export interface RecordingSyscalls extends Syscalls {
  readonly calls: readonly RecordedCall[];
}

/** Calls that answer by a promise, which a fake must keep to. */
const asynchronous: ReadonlySet<keyof Syscalls> = new Set<keyof Syscalls>([
  "mount",
  "umount2",
  "openTreeClone",
  "moveMount",
  "statfs",
  "openat2Async",
  "netlinkSend",
  "netlinkReceive",
  "sync",
  "syncfs",
  "swapon",
  "swapoff",
  "finitModule",
]);

/** Calls that return something: without an answer given for it a fake would have to make one up. */
const answering: ReadonlySet<keyof Syscalls> = new Set<keyof Syscalls>([
  "statfs",
  "openTreeClone",
  "openat",
  "openat2",
  "openat2Async",
  "readlinkat",
  "statx",
  "lgetxattr",
  "fgetxattr",
  "llistxattr",
  "prctl",
  "pidfdOpen",
  "getrlimit",
  "pipe2",
  "eventfd",
  "dup",
  "ioctl",
  "ioctlLater",
  "read",
  "write",
  "poll",
  "socket",
  "socketpair",
  "accept",
  "vsockConnect",
  "socketError",
  "peerCredentials",
  "vsockLocalAddress",
  "vsockPeerAddress",
  "netlinkReceive",
  "recvmsg",
  "sendmsg",
]);

/**
 * A port for tests: every call is recorded and none reaches the kernel. `answers` says what calls return or how they
 * fail; a call that must return something and has no answer fails with ENOSYS.
 */
export function recordingSyscalls(answers: Partial<Syscalls> = {}): RecordingSyscalls {
  const calls: RecordedCall[] = [];
  const given = answers as Partial<Record<keyof Syscalls, (...args: readonly unknown[]) => unknown>>;
  const record = (name: keyof Syscalls, args: readonly unknown[]): unknown => {
    calls.push({ name, args });
    const answer = given[name];
    if (answer !== undefined) return answer(...args);
    if (answering.has(name)) throw new SysError("ENOSYS", Errno.ENOSYS, name, `${name}: expected an answer, got none`);
    return undefined;
  };
  const names = Object.keys(linuxSyscalls()) as (keyof Syscalls)[];
  const port = Object.fromEntries(
    names.map((name) => [
      name,
      asynchronous.has(name)
        ? async (...args: readonly unknown[]) => record(name, args)
        : (...args: readonly unknown[]) => record(name, args),
    ]),
  );
  return { ...(port as unknown as Syscalls), calls };
}
