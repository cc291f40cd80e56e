/**
 * What was wrong: a document's form (`document`), its version or algorithm (`unsupported`), the frame of a block device
 * or an annotation (`image`, `annotation`), compressed data (`gzip`), or a length above its bound (`too-long`).
 */
export type KbsProtocolErrorCode = "annotation" | "document" | "gzip" | "image" | "too-long" | "unsupported";

/** The one error of this package. Messages are one line and hold nothing of a document's contents. */
export class KbsProtocolError extends Error {
  override readonly name: string = "KbsProtocolError";
  readonly code: KbsProtocolErrorCode;

  constructor(code: KbsProtocolErrorCode, message: string, options?: { readonly cause?: unknown }) {
    super(message, options);
    this.code = code;
  }
}
