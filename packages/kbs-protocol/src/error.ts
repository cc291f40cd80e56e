/**
 * What was wrong. Of initdata: a document's form (`document`), its version or algorithm (`unsupported`), the frame of a
 * block device or an annotation (`image`, `annotation`), compressed data (`gzip`), or a length above its bound
 * (`too-long`). Of the protocol with a key broker: a text that is not JSON or has another form (`json`, `message`), a
 * key (`key`), an encrypted reply (`jwe`), a resource's name (`uri`). What a broker answered: it refused (`refused`),
 * what it was asked for is not there (`not-found`), it answered something else than the protocol has (`peer`), or it did
 * not answer (`network`).
 */
export type KbsProtocolErrorCode =
  | "annotation"
  | "document"
  | "gzip"
  | "image"
  | "json"
  | "jwe"
  | "key"
  | "message"
  | "network"
  | "not-found"
  | "peer"
  | "refused"
  | "too-long"
  | "unsupported"
  | "uri";

/** The one error of this package. Messages are one line and hold nothing of a document's or a reply's contents. */
export class KbsProtocolError extends Error {
  override readonly name: string = "KbsProtocolError";
  readonly code: KbsProtocolErrorCode;
  /** Of `refused` and `not-found`: the variant that the broker named. */
  readonly variant: string | undefined;

  constructor(
    code: KbsProtocolErrorCode,
    message: string,
    options?: { readonly cause?: unknown; readonly variant?: string | undefined },
  ) {
    super(message, options);
    this.code = code;
    this.variant = options?.variant;
  }
}
