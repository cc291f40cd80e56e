/** A request, as far as an answer depends on it. */
export interface RestRequest {
  readonly method: string;
  /** As it was sent: percent escapes stay. */
  readonly path: string;
  readonly query: URLSearchParams;
  /** Reads the body, at most {@link MAX_BODY} bytes. Rejects with RestError `request`. */
  body(): Promise<Buffer>;
  /** Aborts when the container goes away. */
  readonly signal: AbortSignal;
}

/** Bytes of a request's body: an event's text has at most 16 KiB. */
export const MAX_BODY: number = 64 * 1024;

export interface RestReply {
  readonly status: number;
  /** Errors have none, as upstream's. */
  readonly type?: "application/json" | "application/octet-stream";
  /** The server zeroes it when it is sent. */
  readonly body: Buffer;
}

export const octets = (bytes: Uint8Array): RestReply => ({
  status: 200,
  type: "application/octet-stream",
  body: Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength),
});
export const json = (text: string): RestReply => ({ status: 200, type: "application/json", body: Buffer.from(text) });
export const failure = (status: number, text: string): RestReply => ({ status, body: Buffer.from(text) });

/** Fresh each: bodies are zeroed. */
export const notFound = (): RestReply => failure(404, "URL NOT FOUND");
export const badRequest = (): RestReply => failure(400, "BAD REQUEST");
export const notAllowed = (): RestReply => failure(405, "Method Not Allowed");
