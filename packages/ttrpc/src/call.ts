import type { Clock } from "./clock.ts";
import type { Expiring } from "./deadlines.ts";
import { decodeMetadata, type Metadata } from "./message.ts";
import type { Route } from "./route.ts";

/** What a handler knows about the call it answers. */
export interface CallContext {
  /**
   * Aborts when the answer is no longer wanted: the deadline passed, the client is gone, or the server closes. Its
   * reason is an Error. Made when first read.
   */
  readonly signal: AbortSignal;
  /** When the client stops waiting, in milliseconds since the epoch; undefined: it waits for ever. */
  readonly deadline: number | undefined;
  /** Key and value pairs sent with the request, keys as sent. */
  readonly metadata: Metadata;
  /** `/package.Service/Method` */
  readonly method: string;
  /**
   * Says that the reply will hold these bytes and that they are secret: they are zeroed once the reply is encoded, and
   * that once it is sent; or at once when no reply is sent any more.
   */
  zeroAfter(bytes: Uint8Array): void;
}

const NO_METADATA: Metadata = new Map();

/** Who holds a call that its deadline ended. */
export interface CallOwner {
  readonly clock: Clock;
  expired(call: Call): void;
}

/** One request while it is answered. Small on purpose: one is made for each, and most are answered in the same turn. */
export class Call implements CallContext, Expiring {
  readonly streamId: number;
  readonly route: Route;
  /** Deadline on the monotonic clock; Infinity for none. */
  readonly at: number;
  slot = -1;
  /** A reply has been written, or none will be. */
  answered = false;
  #secrets: Uint8Array[] | undefined;
  readonly #owner: CallOwner;
  readonly #head: Uint8Array | undefined;
  #metadata: Metadata | undefined;
  #controller: AbortController | undefined;
  #reason: Error | undefined;

  /** `head` is the encoded metadata, or undefined. */
  constructor(owner: CallOwner, streamId: number, route: Route, at: number, head: Uint8Array | undefined) {
    this.#owner = owner;
    this.streamId = streamId;
    this.route = route;
    this.at = at;
    this.#head = head;
  }

  get method(): string {
    return this.route.method.path;
  }

  get deadline(): number | undefined {
    // From the monotonic clock at the time of asking: a wall clock that was set meanwhile moves no deadline.
    return this.at === Infinity ? undefined : Date.now() + (this.at - this.#owner.clock.now());
  }

  get metadata(): Metadata {
    if (this.#head === undefined) return NO_METADATA;
    this.#metadata ??= decodeMetadata(this.#head, 0, this.#head.length);
    return this.#metadata;
  }

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#reason !== undefined) this.#controller.abort(this.#reason);
    }
    return this.#controller.signal;
  }

  zeroAfter(bytes: Uint8Array): void {
    if (this.answered) bytes.fill(0);
    else (this.#secrets ??= []).push(bytes);
  }

  /** Whether the reply is secret. */
  get secret(): boolean {
    return this.#secrets !== undefined;
  }

  /** Zeroes what the handler gave away: the reply is encoded, or there will be none. */
  zero(): void {
    for (const bytes of this.#secrets ?? []) bytes.fill(0);
  }

  abort(reason: Error): void {
    this.#reason ??= reason;
    this.#controller?.abort(this.#reason);
  }

  expire(): void {
    this.#owner.expired(this);
  }
}
