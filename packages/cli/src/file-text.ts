import { readFileSync, watch } from "node:fs";
import { dirname } from "node:path";

import { NacreError } from "./error.ts";

/** The text of a file, once it is there. It must appear whole, by a rename. Throws NacreError `guest` when it does not. */
export async function fileText(path: string, timeoutMs: number, signal?: AbortSignal): Promise<string> {
  const limit = AbortSignal.any([AbortSignal.timeout(timeoutMs), ...(signal === undefined ? [] : [signal])]);
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const look = (): void => {
    try {
      resolve(readFileSync(path, "utf8"));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") reject(error);
    }
  };
  const watcher = watch(dirname(path), look);
  watcher.on("error", reject);
  limit.addEventListener("abort", () => reject(limit.reason as Error), { once: true });
  try {
    look();
    return await promise;
  } catch (cause) {
    signal?.throwIfAborted();
    throw new NacreError("guest", `the guest has a sandbox that no nacre command made: ${path} does not appear`, {
      cause,
    });
  } finally {
    watcher.close();
  }
}
