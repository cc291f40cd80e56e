import { watch } from "node:fs";
import { mkdir } from "node:fs/promises";
import { connect } from "node:net";
import { dirname } from "node:path";

/**
 * Resolves once a connection to the unix socket succeeds; until then it sleeps on changes of the folder, not on a
 * timer. Rejects with the signal's reason. The folder is made when it is missing.
 */
export async function waitForSocket(path: string, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  await mkdir(dirname(path), { recursive: true, mode: 0o755 });
  // A listener that comes later than the signal hears nothing.
  signal.throwIfAborted();
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  let trying = false;
  const attempt = (): void => {
    if (trying || signal.aborted) return;
    trying = true;
    const socket = connect(path);
    socket.once("connect", () => {
      socket.destroy();
      resolve();
    });
    socket.once("error", (error: NodeJS.ErrnoException) => {
      trying = false;
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
