/**
 * What was wrong: the platform, or its kernel, cannot do it (`unsupported`); a device did not do it (`device`); a device
 * answered something else than its specification has (`malformed`); the caller's bytes do not fit (`input`); what the
 * platform measured is not what it was compared with (`mismatch`).
 */
export type AttesterErrorCode = "device" | "input" | "malformed" | "mismatch" | "unsupported";

/** The one error of this package. */
export class AttesterError extends Error {
  override readonly name: string = "AttesterError";
  readonly code: AttesterErrorCode;

  constructor(code: AttesterErrorCode, message: string, options?: { readonly cause?: unknown }) {
    super(message, options);
    this.code = code;
  }
}
