/**
 * Gives up waiting with the signal's reason; what is waited for goes on for the others. It is listened to in any case: where it
 * fails and nobody waits any more, the process does not end.
 */
export async function abortable<T>(value: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return await value;
  const { promise, reject } = Promise.withResolvers<never>();
  const abort = (): void => reject(signal.reason as Error);
  if (signal.aborted) abort();
  signal.addEventListener("abort", abort, { once: true });
  try {
    // The reason first: what is there at the same time is not asked for any more.
    return await Promise.race([promise, value]);
  } finally {
    signal.removeEventListener("abort", abort);
  }
}
