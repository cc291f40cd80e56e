import { existsSync, watch } from "node:fs";
import { connect } from "node:net";
import { dirname } from "node:path";

/** Resolves when a connection to the socket succeeds. Sleeps on changes of its folder, not on a timer. */
export async function waitForSocket(path: string, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const attempt = (): void => {
    if (signal.aborted || !existsSync(path)) return;
    const socket = connect(path);
    socket.once("connect", () => {
      socket.destroy();
      resolve();
    });
    socket.once("error", (error: NodeJS.ErrnoException) => {
      // A name that refuses lies between its owner's bind and listen, for which there is no event.
      if (error.code === "ECONNREFUSED") setImmediate(attempt);
    });
  };
  const aborted = (): void => reject(signal.reason as Error);
  signal.addEventListener("abort", aborted, { once: true });
  const watcher = watch(dirname(path), attempt);
  watcher.on("error", reject);
  try {
    attempt();
    await promise;
  } finally {
    watcher.close();
    signal.removeEventListener("abort", aborted);
  }
}
