import { closeSync } from "node:fs";

import { Socket } from "./constants.ts";
import { Errno } from "./errno.ts";
import { SysError } from "./error.ts";
import type { SocketCalls } from "./syscalls.ts";

/** The environment variable that names the socket (sd_notify(3)). */
export const NOTIFY_SOCKET = "NOTIFY_SOCKET";

/**
 * Tells whoever started this process about it: one datagram of `NAME=VALUE` lines, such as `READY=1`. `address` is the
 * variable's value: an absolute path, or `@` and an abstract name. Throws SysError; nobody there is ENOENT or
 * ECONNREFUSED.
 */
export function notify(sys: SocketCalls, address: string, state: string): void {
  if (!/^[/@]./u.test(address)) {
    const text = `${NOTIFY_SOCKET}: expected an absolute path or an abstract name, got ${JSON.stringify(address)}`;
    throw new SysError("EINVAL", Errno.EINVAL, "connect", text);
  }
  const fd = sys.socket(Socket.AF_UNIX, Socket.DGRAM);
  try {
    sys.unixConnect(fd, address);
    sys.sendmsg(fd, Buffer.from(state), []);
  } finally {
    closeSync(fd);
  }
}
