import { FrameType, HEADER_LENGTH, writeHeader } from "./frame.ts";
import { encodeStatusResponse, varintLength, writeVarint } from "./message.ts";
import type { Transport } from "./transport.ts";

/** Small frames are written side by side into blocks of this size; a block is never used twice, so none is copied. */
const BLOCK = 16 << 10;
/** From this size a payload goes out by reference instead of being copied into a block. */
const BY_REFERENCE = 4 << 10;

/** What one turn collects goes out early from this size on, so that a slow reader is noticed within the turn. */
const FLUSH_AT = 256 << 10;

/**
 * The sending half of a connection: collects the frames of one turn and hands them to the transport together. While
 * the transport is above its high-water mark frames stay here, counted in `unsent`.
 */
export class FrameWriter {
  readonly #transport: Transport;
  #chunks: Uint8Array[] = [];
  #block: Uint8Array = new Uint8Array(0);
  #start = 0;
  #at = 0;
  #unsent = 0;
  #blocked = false;
  #held = false;
  #scheduled = false;
  /** Chunks to be zeroed once they are sent. */
  #secrets: Uint8Array[] = [];

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /** Bytes that wait here because the transport takes no more, or until the turn ends. */
  get unsent(): number {
    return this.#unsent;
  }

  /** Whether the transport asked to wait for its `drain`. */
  get blocked(): boolean {
    return this.#blocked;
  }

  /** Until {@link release}, frames are only collected: what one chunk of input causes goes out as one write. */
  hold(): void {
    this.#held = true;
  }

  release(): void {
    this.#held = false;
    this.flush();
  }

  /** The transport has room again. */
  drained(): void {
    this.#blocked = false;
    this.flush();
  }

  /**
   * A Response with code OK and this message; an OK status and an empty payload are absent fields. A `secret` one is
   * never copied, and zeroed when it has left the process.
   */
  response(streamId: number, payload: Uint8Array, secret = false): void {
    const n = payload.length;
    const byReference = secret || n >= BY_REFERENCE;
    if (n === 0) {
      this.#begin(streamId, FrameType.RESPONSE, 0, 0);
    } else {
      const length = 1 + varintLength(n) + n;
      this.#begin(streamId, FrameType.RESPONSE, length, byReference ? length - n : length);
      this.#block[this.#at] = 0x12;
      this.#at = writeVarint(this.#block, this.#at + 1, n);
      this.#append(payload, byReference);
      if (secret) this.#secrets.push(payload);
    }
    this.#wake();
  }

  /** A Response that carries a failure. */
  status(streamId: number, code: number, message: string, details: readonly Uint8Array[] = []): void {
    this.frame(streamId, FrameType.RESPONSE, [encodeStatusResponse(code, message, details)]);
  }

  /** Any frame, its payload given in parts. */
  frame(streamId: number, type: number, parts: readonly Uint8Array[]): void {
    let length = 0;
    let inline = 0;
    for (const p of parts) {
      length += p.length;
      if (p.length < BY_REFERENCE) inline += p.length;
    }
    this.#begin(streamId, type, length, inline);
    for (const p of parts) this.#append(p);
    this.#wake();
  }

  /** Gives everything collected to the transport, unless it is above its mark. */
  flush(): void {
    if (this.#blocked || this.#unsent === 0) return;
    this.#cut();
    const chunks = this.#chunks;
    this.#chunks = [];
    this.#unsent = 0;
    const secrets = this.#secrets;
    if (secrets.length === 0) this.#blocked = !this.#transport.write(chunks);
    else {
      this.#secrets = [];
      this.#blocked = !this.#transport.write(chunks, () => zero(secrets));
    }
  }

  /** Drops what was not sent; for a connection that is over. */
  clear(): void {
    this.#chunks = [];
    this.#start = this.#at;
    this.#unsent = 0;
    zero(this.#secrets);
    this.#secrets = [];
  }

  #begin(streamId: number, type: number, length: number, inline: number): void {
    const need = HEADER_LENGTH + inline;
    if (this.#block.length - this.#at < need) {
      this.#cut();
      this.#block = new Uint8Array(Math.max(BLOCK, need));
      this.#start = this.#at = 0;
    }
    writeHeader(this.#block, this.#at, length, streamId, type, 0);
    this.#at += HEADER_LENGTH;
    this.#unsent += HEADER_LENGTH + length;
  }

  #append(bytes: Uint8Array, byReference: boolean = bytes.length >= BY_REFERENCE): void {
    if (byReference) {
      this.#cut();
      this.#chunks.push(bytes);
    } else {
      this.#block.set(bytes, this.#at);
      this.#at += bytes.length;
    }
  }

  #cut(): void {
    if (this.#at > this.#start) this.#chunks.push(this.#block.subarray(this.#start, this.#at));
    this.#start = this.#at;
  }

  #wake(): void {
    if (this.#unsent >= FLUSH_AT) this.flush();
    if (this.#held || this.#scheduled || this.#blocked) return;
    this.#scheduled = true;
    queueMicrotask(() => {
      this.#scheduled = false;
      this.flush();
    });
  }
}

function zero(secrets: readonly Uint8Array[]): void {
  for (const secret of secrets) secret.fill(0);
}
