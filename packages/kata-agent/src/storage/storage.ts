import type { grpc } from "@nacre/protocols";

import type { Logger } from "../log.ts";

/** What a driver is given besides the message. */
export interface StorageContext {
  /** The container for which the storage is made; undefined for the sandbox's own. */
  readonly containerId: string | undefined;
  /** The annotations of the container's OCI specification; empty for the sandbox's own. */
  readonly annotations: Readonly<Record<string, string>>;
  readonly signal: AbortSignal;
  readonly log: Logger;
}

/** Undoes what a driver did. Must not fail because something is gone already. */
export type Undo = () => Promise<void>;

/**
 * A storage driver (section 3.4): makes the storage and returns what undoes it when the last user is gone. On failure
 * it has left nothing behind.
 */
export interface StorageDriver {
  /** The name in `Storage.driver`. */
  readonly name: string;
  /** More than one container may use one mount point. */
  readonly shareable: boolean;
  /** What was made for a container that then ran stays until the sandbox ends: a pod's volume outlives its init containers. */
  readonly outlivesContainers?: boolean;
  /** Refuses at once what the driver would never do; called before the mount point is looked up. */
  check(storage: StorageMessage, context: StorageContext): void;
  add(storage: StorageMessage, context: StorageContext): Promise<Undo>;
}

/** The message `grpc.Storage`. */
export type StorageMessage = grpc.Storage;
