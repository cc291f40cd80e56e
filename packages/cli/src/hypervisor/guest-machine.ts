import type { VmRecord } from "./vm-record.ts";
import type { VmSpec } from "./vm-spec.ts";

/** A guest that runs, whatever kind it is. */
export interface RunningGuest {
  /** Resolves when it has ended and nothing of it is left; never rejects for its end. */
  readonly ended: Promise<void>;
  stop(): Promise<void>;
}

/** What starts guests for the service: real ones, or a test's. */
export interface GuestMachine {
  /** Throws RpcError INVALID_ARGUMENT, before anything is made, for what this machine cannot start. */
  check(spec: VmSpec): void;
  /** An id for a guest to come. */
  newGuestId(): string;
  /** Path of the unix socket where the agent of that guest will listen. */
  agentSocket(guest: string): string;
  /** Resolves when the agent takes connections there. Rejects, and leaves nothing, on failure or abort. */
  start(record: VmRecord, signal: AbortSignal): Promise<RunningGuest>;
  /** A guest that an earlier server started; undefined when it is gone, of which nothing is left then. */
  find(guest: string): Promise<RunningGuest | undefined>;
}
