import { storageError } from "./storage.ts";

/** Milliseconds that a server may take for one call; one that does not answer must not hold up requests for ever. */
export const CALL_MS = 10_000;
/** Milliseconds that a server may take to accept a connection. */
export const CONNECT_MS = 5_000;

/** What work resolves with, or a rejection once the time is over; `gaveUp` ends what the work still waits for then. */
export async function within<T>(ms: number, work: Promise<T>, gaveUp: () => void): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const over = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      gaveUp();
      reject(storageError("call", new Error(`expected an answer within ${ms} ms`)));
    }, ms);
  });
  try {
    return await Promise.race([work, over]);
  } finally {
    clearTimeout(timer);
  }
}

/** A driver's error without what it carries along, which may be a secret that was to be written. */
export function bareError(cause: unknown): Error {
  if (!(cause instanceof Error)) return new Error("no error");
  const { code, errors } = cause as { readonly code?: unknown; readonly errors?: unknown };
  // A name with several addresses fails once for each.
  if (cause.message === "" && Array.isArray(errors) && errors.length > 0) return bareError(errors[0]);
  const prefix = typeof code === "string" && !cause.message.includes(code) ? `${code}: ` : "";
  return new Error(`${prefix}${cause.message}`);
}
