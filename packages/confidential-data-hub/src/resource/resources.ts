import { HubError } from "../error.ts";

/** Where resources come from. */
export interface Resources {
  /**
   * A resource by its `kbs://` name, never from a cache. The caller zeroes it. Rejects with HubError, KbsProtocolError or
   * the signal's reason.
   */
  get(name: string, signal: AbortSignal): Promise<Buffer>;
  /** Ends what is kept open for them. */
  close(): void;
}

/** Stands for a broker that no configuration names. */
export function noResources(why: string): Resources {
  return { get: () => Promise.reject(new HubError("config", why)), close: () => {} };
}
