import { TrusteeError } from "../error.ts";

/** What is kept, by whom: names that upstream's storage has, too (spec trustee 1.6). */
export const Namespace = {
  /** The resource policy. */
  KBS: "kbs",
  /** Resources. */
  REPOSITORY: "repository",
  SESSION: "kbs_protocol_session",
  ATTESTATION_POLICY: "attestation_service_policy",
  REFERENCE_VALUE: "reference_value",
} as const;
export type Namespace = (typeof Namespace)[keyof typeof Namespace];
export const NAMESPACES: readonly Namespace[] = Object.values(Namespace);

/** Bytes of one value; a request's body has at most as many. */
export const MAX_VALUE: number = 64 * 1024 * 1024;

/**
 * Where the broker keeps things. A value is there whole or not at all, whatever happens while it is written. Rejects
 * with `storage` when the place itself fails, and with `request` for a key that it cannot have.
 */
export interface Storage {
  get(namespace: Namespace, key: string): Promise<Buffer | undefined>;
  /** Resolves once the value would survive a crash, in storages that do. */
  set(namespace: Namespace, key: string, value: Uint8Array): Promise<void>;
  /** Writes where there is nothing yet; resolves with whether it did. */
  setNew(namespace: Namespace, key: string, value: Uint8Array): Promise<boolean>;
  /** Resolves with whether there was something. */
  delete(namespace: Namespace, key: string): Promise<boolean>;
  /** Keys in no order that means anything. */
  list(namespace: Namespace): Promise<readonly string[]>;
  close(): Promise<void>;
}

/** What files, tables and commands take for a key. */
const KEY = /^[A-Za-z0-9\-_./]{1,512}$/u;

/** Throws `request` for a key with other characters than upstream's storages take. */
export function checkKey(key: string): void {
  if (!KEY.test(key)) throw new TrusteeError("request", "storage: expected a key of letters, digits and -_./");
}

export function storageError(operation: string, cause: unknown): TrusteeError {
  return cause instanceof TrusteeError ? cause : new TrusteeError("storage", `storage: ${operation} failed`, { cause });
}
