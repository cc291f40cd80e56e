import type { MethodDescriptor } from "@nacre/protocols";
import { FrameDecoder, HEADER_LENGTH, type Transport, writeHeader } from "../src/index.ts";
import { decodeResponse, encodeRoute } from "../src/message.ts";

/** A frame as received. */
export interface Frame {
  readonly id: number;
  readonly type: number;
  readonly flags: number;
  readonly payload: Uint8Array;
}

/** The bytes of one frame. */
export function frameBytes(id: number, type: number, payload: Uint8Array, flags = 0): Uint8Array {
  const out = new Uint8Array(HEADER_LENGTH + payload.length);
  writeHeader(out, 0, payload.length, id, type, flags);
  out.set(payload, HEADER_LENGTH);
  return out;
}

/** The bytes of a Request without its frame; `payload` below 128 bytes. */
export function requestBytes(
  method: Pick<MethodDescriptor<never, never>, "service" | "name">,
  payload: string,
): Uint8Array {
  const body = new TextEncoder().encode(payload);
  return Buffer.concat([encodeRoute(method.service, method.name), Uint8Array.of(0x1a, body.length), body]);
}

/** A peer that speaks in frames, or in bytes of the test's choosing, and notes what comes back. */
export class RawPeer {
  readonly frames: Frame[] = [];
  ended = false;
  closed = false;
  readonly transport: Transport;
  #wake: (() => void) | undefined;

  constructor(transport: Transport) {
    this.transport = transport;
    const decoder = new FrameDecoder({
      frame: (id, type, flags, buffer, start, end) => {
        this.frames.push({ id, type, flags, payload: buffer.slice(start, end) });
      },
      oversize: () => {
        throw new Error("the other side sent a frame that is too long");
      },
    });
    transport.start({
      data: (chunk) => {
        decoder.push(chunk);
        this.#wake?.();
      },
      end: () => {
        this.ended = true;
        this.#wake?.();
      },
      close: () => {
        this.closed = true;
        this.#wake?.();
      },
      drain: () => {},
    });
  }

  send(...chunks: Uint8Array[]): void {
    this.transport.write(chunks);
  }

  /** Waits for the `n`-th frame and takes off all before it. */
  async next(n = 1): Promise<Frame> {
    await this.until(() => this.frames.length >= n);
    return this.frames.splice(0, n).at(-1) as Frame;
  }

  /** Waits until the condition holds; looks again when anything arrives. */
  async until(condition: () => boolean): Promise<void> {
    while (!condition()) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#wake = resolve;
      await promise;
    }
  }

  /** The next frame as `[stream id, code, status text or payload text]`. */
  async reply(): Promise<[id: number, code: number, text: string]> {
    const frame = await this.next();
    const view = decodeResponse(frame.payload, 0, frame.payload.length);
    if (typeof view === "string") throw new Error(view);
    return [frame.id, view.code, view.code === 0 ? Buffer.from(view.payload).toString() : view.message];
  }
}
