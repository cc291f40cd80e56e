/**
 * ttRPC frames: a 10-byte header (length, stream id, type, flags; big endian) and a payload.
 * kata-agent specification 1.1; the protocol document of ttrpc 1.2.
 */

/** Bytes of a frame's header. */
export const HEADER_LENGTH = 10;

/** The largest payload of a frame that either side accepts: every ttRPC implementation has this same constant. */
export const MAX_MESSAGE_LENGTH: number = 4 << 20;

/** What a frame is. Other values are reserved: a frame that has one is ignored. */
export const FrameType = { REQUEST: 1, RESPONSE: 2, DATA: 3 } as const;

/** The text that goes with a payload above {@link MAX_MESSAGE_LENGTH}; callers match on it. */
export function oversizeText(length: number): string {
  return `message length ${length} exceed maximum message size of ${MAX_MESSAGE_LENGTH}`;
}

/** Receives what a {@link FrameDecoder} finds. */
export interface FrameSink {
  /**
   * One whole frame; its payload is `buffer[start..end)`. When `owned` is true the buffer was made for this frame alone
   * and may be kept; otherwise it is valid only until the call returns.
   */
  frame(
    streamId: number,
    type: number,
    flags: number,
    buffer: Uint8Array,
    start: number,
    end: number,
    owned: boolean,
  ): void;
  /** A frame whose payload is too long: told when its header is complete; its payload is then thrown away. */
  oversize(streamId: number, type: number, length: number): void;
}

const EMPTY = new Uint8Array(0);

/**
 * Bytes to frames, from chunks of any size. A frame that lies in one chunk is passed on without a copy. A payload that
 * is spread over several is collected in a buffer that is allocated once its length has passed the cap, so what a peer
 * can make this side hold is one payload.
 */
export class FrameDecoder {
  readonly #sink: FrameSink;
  readonly #header = new Uint8Array(HEADER_LENGTH);
  #headerLength = 0;
  #body: Uint8Array = EMPTY;
  #bodyLength = 0;
  #skip = 0;

  constructor(sink: FrameSink) {
    this.#sink = sink;
  }

  /** Whether the bytes so far end inside a frame: a stream that ends here was cut off. */
  get midFrame(): boolean {
    return this.#headerLength > 0 || this.#skip > 0;
  }

  /** Takes the next bytes; calls the sink for each frame that they complete. The chunk is not kept. */
  push(chunk: Uint8Array): void {
    let at = 0;
    const length = chunk.length;
    while (at < length) {
      if (this.#skip > 0) {
        const n = Math.min(this.#skip, length - at);
        this.#skip -= n;
        at += n;
        continue;
      }
      if (this.#headerLength === 0 && length - at >= HEADER_LENGTH) {
        const size = readUint32(chunk, at);
        if (size <= MAX_MESSAGE_LENGTH && size <= length - at - HEADER_LENGTH) {
          // The usual case: the whole frame is here.
          const start = at + HEADER_LENGTH;
          at = start + size;
          this.#sink.frame(
            readUint32(chunk, start - 6),
            chunk[start - 2] as number,
            chunk[start - 1] as number,
            chunk,
            start,
            at,
            false,
          );
          continue;
        }
      }
      at = this.#headerLength < HEADER_LENGTH ? this.#takeHeader(chunk, at) : this.#takeBody(chunk, at);
    }
  }

  #takeHeader(chunk: Uint8Array, at: number): number {
    const n = Math.min(HEADER_LENGTH - this.#headerLength, chunk.length - at);
    this.#header.set(chunk.subarray(at, at + n), this.#headerLength);
    this.#headerLength += n;
    if (this.#headerLength < HEADER_LENGTH) return at + n;
    const size = readUint32(this.#header, 0);
    if (size > MAX_MESSAGE_LENGTH) {
      this.#skip = size;
      this.#headerLength = 0;
      this.#sink.oversize(readUint32(this.#header, 4), this.#header[8] as number, size);
    } else {
      this.#body = size === 0 ? EMPTY : new Uint8Array(size);
      this.#bodyLength = 0;
      if (size === 0) this.#emit();
    }
    return at + n;
  }

  #takeBody(chunk: Uint8Array, at: number): number {
    const n = Math.min(this.#body.length - this.#bodyLength, chunk.length - at);
    this.#body.set(chunk.subarray(at, at + n), this.#bodyLength);
    this.#bodyLength += n;
    if (this.#bodyLength === this.#body.length) this.#emit();
    return at + n;
  }

  #emit(): void {
    const body = this.#body;
    const header = this.#header;
    this.#body = EMPTY;
    this.#headerLength = 0;
    this.#sink.frame(readUint32(header, 4), header[8] as number, header[9] as number, body, 0, body.length, true);
  }
}

function readUint32(b: Uint8Array, at: number): number {
  return (
    (((b[at] as number) << 24) |
      ((b[at + 1] as number) << 16) |
      ((b[at + 2] as number) << 8) |
      (b[at + 3] as number)) >>>
    0
  );
}

/** Writes a frame's header at `at`. */
export function writeHeader(
  b: Uint8Array,
  at: number,
  length: number,
  streamId: number,
  type: number,
  flags: number,
): void {
  b[at] = length >>> 24;
  b[at + 1] = length >>> 16;
  b[at + 2] = length >>> 8;
  b[at + 3] = length;
  b[at + 4] = streamId >>> 24;
  b[at + 5] = streamId >>> 16;
  b[at + 6] = streamId >>> 8;
  b[at + 7] = streamId;
  b[at + 8] = type;
  b[at + 9] = flags;
}
