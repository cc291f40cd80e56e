import { VsockError } from "./error.ts";

/** What a frame says of its channel. */
export const FrameType = {
  /** The host wants a port: its number, 32 bits. */
  OPEN: 0,
  /** The port is connected. */
  OPENED: 1,
  DATA: 2,
  /** The sender has no more data. */
  END: 3,
  /** The channel is over, or was refused. */
  RESET: 4,
  /** The receiver has room for so many more bytes, 32 bits. */
  CREDIT: 5,
} as const;
export type FrameType = (typeof FrameType)[keyof typeof FrameType];

export interface Frame {
  readonly type: FrameType;
  readonly channel: number;
  readonly payload: Buffer;
}

/** Type, channel and length, big-endian. */
const HEADER = 9;
/** Longest payload. */
export const MAX_PAYLOAD: number = 32 * 1024;
const TYPES: readonly number[] = Object.values(FrameType);
/** Lengths of payloads but DATA's. */
const LENGTHS: Readonly<Partial<Record<FrameType, number>>> = { 0: 4, 1: 0, 3: 0, 4: 0, 5: 4 };

export function encodeFrame(type: FrameType, channel: number, payload: Uint8Array = Buffer.alloc(0)): Buffer {
  const frame = Buffer.allocUnsafe(HEADER + payload.length);
  frame.writeUInt8(type, 0);
  frame.writeUInt32BE(channel, 1);
  frame.writeUInt32BE(payload.length, 5);
  frame.set(payload, HEADER);
  return frame;
}

/** A payload of one number. */
export function encodeNumber(value: number): Buffer {
  const payload = Buffer.allocUnsafe(4);
  payload.writeUInt32BE(value);
  return payload;
}

/** Bytes to frames, however they are cut. Keeps at most one frame; throws {@link VsockError} `handshake` for no frame. */
export class FrameDecoder {
  #parts: Buffer[] = [];
  #length = 0;

  push(chunk: Buffer): readonly Frame[] {
    this.#parts.push(chunk);
    this.#length += chunk.length;
    const frames: Frame[] = [];
    for (;;) {
      if (this.#length < HEADER) return frames;
      const bytes = this.#parts.length === 1 ? (this.#parts[0] as Buffer) : Buffer.concat(this.#parts);
      const { type, channel, length } = parseHeader(bytes);
      const end = HEADER + length;
      const rest = bytes.subarray(end);
      this.#parts = [bytes.length < end ? bytes : rest];
      this.#length = this.#parts[0]?.length ?? 0;
      if (bytes.length < end) return frames;
      frames.push({ type, channel, payload: bytes.subarray(HEADER, end) });
    }
  }
}

function parseHeader(bytes: Buffer): { readonly type: FrameType; readonly channel: number; readonly length: number } {
  const type = bytes.readUInt8(0);
  const length = bytes.readUInt32BE(5);
  if (!TYPES.includes(type)) throw new VsockError("handshake", `bridge: expected a type of frame, got ${type}`);
  const wanted = LENGTHS[type as FrameType];
  if (length > MAX_PAYLOAD || (wanted !== undefined && length !== wanted)) {
    const most = wanted === undefined ? `at most ${MAX_PAYLOAD}` : String(wanted);
    throw new VsockError("handshake", `bridge: expected a frame of ${most} bytes, got ${length}`);
  }
  return { type: type as FrameType, channel: bytes.readUInt32BE(1), length };
}
