/**
 * What went wrong. `network`, `timeout` and `busy` are faults of the environment, the only ones that are tried again;
 * the others are the caller's (`reference`, `configuration`) or the peer's.
 */
export type OciErrorCode =
  | "reference"
  | "configuration"
  | "blocked"
  | "digest"
  | "document"
  | "size"
  | "unauthorized"
  | "not-found"
  | "registry"
  | "redirect"
  | "platform"
  | "network"
  | "timeout"
  | "busy";

export interface OciErrorOptions {
  readonly cause?: unknown;
  /** How long the registry asked us to wait (`Retry-After`), in milliseconds. */
  readonly retryAfterMs?: number;
}

/** Every failure of this package. The message names the operation and the object, never a credential. */
export class OciError extends Error {
  override readonly name = "OciError";
  readonly code: OciErrorCode;
  readonly retryAfterMs: number | undefined;

  constructor(code: OciErrorCode, message: string, options: OciErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.retryAfterMs = options.retryAfterMs;
  }

  /** Whether trying again can help. */
  get transient(): boolean {
    return this.code === "network" || this.code === "timeout" || this.code === "busy";
  }
}
