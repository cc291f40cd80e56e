import { notify, NOTIFY_SOCKET, type SocketCalls } from "@nacre/kata-sys-util";

import { describeError } from "./error.ts";
import type { Logger } from "./log.ts";

/**
 * Tells init or systemd that requests are answered from now on (sd_notify(3)), where it has left a socket for that. A
 * first process has nobody to tell, and its environment is the host's word.
 */
export function notifyReady(
  sys: SocketCalls,
  log: Logger,
  env: Readonly<Record<string, string | undefined>> = process.env,
  pid: number = process.pid,
): void {
  const address = env[NOTIFY_SOCKET];
  if (address === undefined || address === "" || pid === 1) return;
  try {
    notify(sys, address, "READY=1\n");
  } catch (error) {
    log.warning("whoever waits for this agent was not told that it is ready", { error: describeError(error) });
  }
}
