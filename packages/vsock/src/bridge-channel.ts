import { Duplex } from "node:stream";

import { encodeNumber, FrameType, MAX_PAYLOAD } from "./bridge-frame.ts";
import { VsockError } from "./error.ts";

/** What may be under way to a reader that does not read. */
export const WINDOW: number = 64 * 1024;

/** Sends a frame of this channel. */
export type Send = (type: FrameType, payload?: Uint8Array) => void;

/** One connection over a bridge. Each direction has a window and an end of its own. */
export class BridgeChannel extends Duplex {
  readonly #send: Send;
  /** Bytes that may be sent. */
  #credit: number = WINDOW;
  /** Bytes that the peer may send, and those that were read since it was told. */
  #room: number = WINDOW;
  #read = 0;
  #waiting: { rest: Buffer; done: () => void } | undefined;
  #ended = false;
  #reset = false;

  constructor(send: Send) {
    super({ allowHalfOpen: true, readableHighWaterMark: MAX_PAYLOAD });
    this.#send = send;
  }

  /** Bytes from the peer. Throws {@link VsockError} where it sends more than it may. */
  takeData(bytes: Buffer): void {
    this.#room -= bytes.length;
    if (this.#room < 0 || this.#ended) throw new VsockError("handshake", "bridge: expected no more data");
    if (this.destroyed) return;
    this.#read += bytes.length;
    this.push(bytes);
  }

  takeEnd(): void {
    this.#ended = true;
    this.push(null);
  }

  takeReset(): void {
    this.#reset = true;
    this.destroy(new VsockError("refused", "bridge: the connection was reset"));
  }

  takeCredit(bytes: number): void {
    this.#credit += bytes;
    if (this.#credit > WINDOW) throw new VsockError("handshake", "bridge: expected credit for what was sent");
    this.#flush();
  }

  override _read(): void {
    if (this.#read === 0 || this.#ended) return;
    const bytes = this.#read;
    this.#read = 0;
    this.#room += bytes;
    // Last: over a stream of this process the answer is here before this returns.
    this.#send(FrameType.CREDIT, encodeNumber(bytes));
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    this.#waiting = { rest: chunk, done };
    this.#flush();
  }

  override _final(done: () => void): void {
    this.#send(FrameType.END);
    done();
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    if (!this.#reset && !(this.writableFinished && this.#ended)) this.#send(FrameType.RESET);
    done(error);
  }

  #flush(): void {
    while (this.#waiting !== undefined && this.#credit > 0) {
      const { rest, done } = this.#waiting;
      const length = Math.min(rest.length, this.#credit, MAX_PAYLOAD);
      this.#credit -= length;
      const isLast = length === rest.length;
      this.#waiting = isLast ? undefined : { rest: rest.subarray(length), done };
      this.#send(FrameType.DATA, rest.subarray(0, length));
      if (isLast) return done();
    }
  }
}
