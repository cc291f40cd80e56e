/** Why bytes are not a message: the peer's fault. */
export type DecodeErrorCode = "varint" | "eof" | "utf8" | "tag" | "wire-type" | "range" | "depth" | "size";

const DECODE_TEXTS: Readonly<Record<Exclude<DecodeErrorCode, "range" | "size">, string>> = {
  varint: "Incorrect varint",
  eof: "Unexpected EOF",
  utf8: "Invalid UTF-8 sequence",
  tag: "Incorrect tag",
  "wire-type": "Unexpected wire type",
  depth: "Over recursion limit",
};

/**
 * Bytes that are not a message. The texts are the ones that the Rust agent sends after `ttrpc err: ` (golden replies
 * `wire/*`), so a server can pass them on as they are.
 */
export class DecodeError extends Error {
  override readonly name = "DecodeError";
  readonly code: DecodeErrorCode;

  constructor(code: Exclude<DecodeErrorCode, "range" | "size">);
  constructor(code: "range" | "size", message: string);
  constructor(code: DecodeErrorCode, message?: string) {
    super(message ?? DECODE_TEXTS[code as keyof typeof DECODE_TEXTS]);
    this.code = code;
  }
}

/** A value that its field cannot carry: the caller's fault. The message names the field. */
export class EncodeError extends Error {
  override readonly name = "EncodeError";
  readonly code: "type" | "range" | "unknown-type";

  constructor(code: "type" | "range" | "unknown-type", message: string) {
    super(message);
    this.code = code;
  }
}

/** JSON that does not parse (`syntax`), is too deep (`depth`) or does not fit a message (`field`, `type`, `range`). */
export class JsonError extends Error {
  override readonly name = "JsonError";
  readonly code: "syntax" | "depth" | "field" | "type" | "range";

  constructor(code: "syntax" | "depth" | "field" | "type" | "range", message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
