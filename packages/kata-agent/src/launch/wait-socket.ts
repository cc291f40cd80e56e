import { watch } from "node:fs";
import { mkdir } from "node:fs/promises";
import { connect, type Socket } from "node:net";
import { dirname } from "node:path";

/**
 * Resolves once a connection to the unix socket succeeds; until then it sleeps on changes of the folder, not on a
 * timer. Rejects with the signal's reason. The folder is made when it is missing. Nothing goes on behind either.
 *
 * A name that refuses lies between its owner's bind and its listen: the kernel has no event for the latter, so it is
 * tried again turn by turn of the event loop, in which others have theirs. Both are one after the other in every known
 * component; one that never listens costs a processor until the signal, which comes after the component's timeout.
 */
export async function waitForSocket(path: string, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  await mkdir(dirname(path), { recursive: true, mode: 0o755 });
  // A listener that comes later than the signal hears nothing.
  signal.throwIfAborted();
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  let trying: Socket | undefined;
  let changed = false;
  let next: NodeJS.Immediate | undefined;
  const attempt = (): void => {
    // What changes now may have come too late for the attempt that is under way.
    changed = trying !== undefined;
    if (changed) return;
    clearImmediate(next);
    trying = connect(path);
    trying.once("connect", resolve);
    trying.once("error", (error: NodeJS.ErrnoException) => {
      trying = undefined;
      if (changed || error.code === "ECONNREFUSED") next = setImmediate(attempt);
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
    trying?.removeAllListeners("error").on("error", () => undefined);
    trying?.destroy();
    clearImmediate(next);
  }
}
