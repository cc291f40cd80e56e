import { closeSync } from "node:fs";

import { Socket } from "./constants.ts";
import type { SocketCalls } from "./syscalls.ts";

/** Tells whoever started this process that it is ready, by the protocol of sd_notify(3); `path` is NOTIFY_SOCKET. */
export function notifyReady(sys: SocketCalls, path: string): void {
  const fd = sys.socket(Socket.AF_UNIX, Socket.DGRAM);
  try {
    sys.unixConnect(fd, path);
    sys.sendmsg(fd, Buffer.from("READY=1"), []);
  } finally {
    closeSync(fd);
  }
}
