/** The port to the network. The adapter over Node's HTTP client is in `@nacre/image-puller`. */
export interface Http {
  /**
   * Sends one request and resolves with its response's head; redirects are not followed.
   *
   * @throws OciError `network` when no response came or the body broke off; `timeout` when the peer was silent for too
   * long. Aborting `signal` rejects with its reason, also while the body is read.
   */
  send(request: HttpRequest): Promise<HttpResponse>;
}

export interface HttpRequest {
  readonly method: "GET" | "HEAD";
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
}

export interface HttpResponse {
  readonly status: number;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string | undefined>>;
  /** Read once; a part is valid only until the next one is asked for. It breaks off with `network` when fewer bytes came than the headers announced. */
  readonly body: AsyncIterable<Uint8Array>;
  /** Gives up on the rest of the body. */
  discard(): void;
}

/** The port to time. */
export interface Clock {
  /** Milliseconds since 1970. */
  now(): number;
  /** Resolves after `ms`; rejects with the signal's reason when aborted before. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}
