import { watch } from "node:fs";

import { Health } from "@nacre/protocols";
import { TtrpcClient } from "@nacre/ttrpc";
import { dial } from "@nacre/vsock";

/**
 * Resolves when the agent answers. A guest tells nobody that it listens, and a connection to a port without a listener
 * is refused at once; so another one is made whenever the guest has said something on its console, where the agent's
 * last line before it waits says that it listens.
 */
export async function agentAnswers(address: string, console: string, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  const { promise: gaveUp, reject } = Promise.withResolvers<never>();
  gaveUp.catch(() => {});
  const aborted = (): void => reject(signal.reason as Error);
  signal.addEventListener("abort", aborted, { once: true });
  let spoke = Promise.withResolvers<void>();
  const watcher = watch(console, () => spoke.resolve());
  watcher.on("error", reject);
  try {
    for (;;) {
      // What is said while we ask counts for the next time.
      spoke = Promise.withResolvers<void>();
      if (await Promise.race([isAnswering(address, signal), gaveUp])) return;
      await Promise.race([spoke.promise, gaveUp]);
    }
  } finally {
    watcher.close();
    signal.removeEventListener("abort", aborted);
  }
}

async function isAnswering(address: string, signal: AbortSignal): Promise<boolean> {
  let client: TtrpcClient | undefined;
  try {
    client = new TtrpcClient(await dial(address, { signal }));
    await client.call(Health.methods.Check, {}, { signal });
    return true;
  } catch {
    return false;
  } finally {
    client?.close();
  }
}
