import type { Socket } from "node:net";

import { linuxSyscalls, type SocketCalls } from "@nacre/kata-sys-util";

/** What a socket of Node has inside, as far as it is used here. */
interface WithHandle {
  readonly _handle?: { readonly fd?: number } | null;
}

/**
 * The number of the process that connected a unix socket; undefined when the socket is over, or that process is in a pid
 * namespace that is not ours to see.
 */
export function peerProcess(
  socket: Socket,
  sys: Pick<SocketCalls, "peerCredentials"> = linuxSyscalls(),
): number | undefined {
  const fd = (socket as unknown as WithHandle)._handle?.fd;
  if (fd === undefined || fd < 0) return undefined;
  const { pid } = sys.peerCredentials(fd);
  return pid > 0 ? pid : undefined;
}
