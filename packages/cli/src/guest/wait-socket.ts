import { existsSync, watch } from "node:fs";
import { connect, type Socket } from "node:net";
import { dirname } from "node:path";

/** Resolves when a connection to the socket succeeds. */
export async function waitForSocket(path: string, signal: AbortSignal): Promise<void> {
  (await connectWhenThere(path, signal)).destroy();
}

/**
 * Connects as soon as somebody listens; the socket is paused, nothing of it was read. Sleeps on changes of its folder,
 * not on a timer.
 */
export async function connectWhenThere(path: string, signal: AbortSignal): Promise<Socket> {
  signal.throwIfAborted();
  const { promise, resolve, reject } = Promise.withResolvers<Socket>();
  let connected: Socket | undefined;
  const attempt = (): void => {
    if (signal.aborted || connected !== undefined || !existsSync(path)) return;
    const socket = connect(path).pause();
    socket.once("connect", () => {
      if (connected !== undefined) return void socket.destroy();
      connected = socket;
      resolve(socket);
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
    return await promise;
  } finally {
    watcher.close();
    signal.removeEventListener("abort", aborted);
  }
}
