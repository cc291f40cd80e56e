/**
 * What was wrong: a packet, an option or a message of the key provider protocol (`message`), a key of the wrong size
 * (`key`), or data that a key does not open (`decrypt`).
 */
export type OcicryptErrorCode = "decrypt" | "key" | "message";

/** The one error of this package. Messages hold nothing of keys and contents. */
export class OcicryptError extends Error {
  override readonly name = "OcicryptError";
  readonly code: OcicryptErrorCode;

  constructor(code: OcicryptErrorCode, message: string, options?: { readonly cause?: unknown }) {
    super(message, options);
    this.code = code;
  }
}
