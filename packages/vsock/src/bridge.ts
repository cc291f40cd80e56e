import type { Duplex } from "node:stream";

import { BridgeChannel } from "./bridge-channel.ts";
import { encodeFrame, encodeNumber, type Frame, FrameDecoder, FrameType } from "./bridge-frame.ts";
import { VsockError } from "./error.ts";
import { joinSockets } from "./join-sockets.ts";

/** Said by the guest before everything else: the write goes through when its host is there. */
export const HELLO = "NACRE BRIDGE 1\n";
/** Connections at one time, as hybrid vsock has them. */
export const MAX_CHANNELS = 1024;
/** Answers to calls that the host has not read; with each there may be a window of data that it has given up. */
export const MAX_ANSWERS: number = 2 * MAX_CHANNELS;

/**
 * Many connections over one byte stream. The stream is always read and never waited for when writing: two ends that
 * waited for each other would stand for ever. What may pile up is bounded by the channels' windows and {@link MAX_ANSWERS}.
 */
abstract class BridgeEnd {
  /** Resolves when the stream is over. */
  readonly closed: Promise<void>;
  protected readonly channels: Map<number, BridgeChannel> = new Map<number, BridgeChannel>();
  readonly #stream: Duplex;
  readonly #decoder: FrameDecoder = new FrameDecoder();
  #answers = 0;

  constructor(stream: Duplex) {
    this.#stream = stream;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.closed = promise;
    stream.on("data", (chunk: Buffer) => {
      try {
        for (const frame of this.#decoder.push(chunk)) this.take(frame);
      } catch {
        // Whoever sends what is no frame cannot be understood any more.
        stream.destroy();
      }
    });
    stream.on("end", () => stream.destroy());
    stream.on("error", () => {});
    stream.once("close", () => {
      const over = new VsockError("refused", "bridge: its stream is over");
      for (const channel of this.channels.values()) channel.destroy(over);
      resolve();
    });
    // Only now, as the listeners are there.
    stream.resume();
  }

  close(): void {
    this.#stream.destroy();
  }

  get isOver(): boolean {
    return this.#stream.destroyed;
  }

  protected send(type: FrameType, channel: number, payload?: Uint8Array): void {
    if (this.#stream.destroyed) return;
    if (type !== FrameType.OPENED && type !== FrameType.RESET) {
      this.#stream.write(encodeFrame(type, channel, payload));
      return;
    }
    // No window holds these: whoever only calls and never reads would fill the memory.
    if (this.#answers >= MAX_ANSWERS) {
      this.#stream.destroy();
      return;
    }
    this.#answers += 1;
    this.#stream.write(encodeFrame(type, channel, payload), () => {
      this.#answers -= 1;
    });
  }

  protected add(id: number): BridgeChannel {
    const channel = new BridgeChannel((type, payload) => this.send(type, id, payload));
    this.channels.set(id, channel);
    channel.on("error", () => {}).once("close", () => this.channels.delete(id));
    return channel;
  }

  protected take({ type, channel: id, payload }: Frame): void {
    const channel = this.channels.get(id);
    // Frames of a channel that is over may be under way.
    if (channel === undefined) return;
    if (type === FrameType.DATA) channel.takeData(payload);
    else if (type === FrameType.END) channel.takeEnd();
    else if (type === FrameType.RESET) channel.takeReset();
    else if (type === FrameType.CREDIT) channel.takeCredit(payload.readUInt32BE());
  }
}

/** The host's end: it dials. */
export class BridgeHost extends BridgeEnd {
  readonly #opening = new Map<number, () => void>();
  #next = 0;

  /** Waits for the guest's first word. Rejects with {@link VsockError} `handshake` for another one. */
  static async open(stream: Duplex, signal: AbortSignal): Promise<BridgeHost> {
    await hear(stream, signal);
    return new BridgeHost(stream);
  }

  /** Connects to a port of the guest. Rejects with {@link VsockError} `refused` where nobody listens. */
  async dial(port: number): Promise<Duplex> {
    if (this.isOver) throw new VsockError("refused", `port ${port}: the bridge is over`);
    const id = this.#next;
    this.#next = (id + 1) >>> 0;
    const channel = this.add(id);
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#opening.set(id, resolve);
    const refused = (): void => reject(new VsockError("refused", `port ${port}: nobody listens`));
    channel.once("close", refused);
    this.send(FrameType.OPEN, id, encodeNumber(port));
    try {
      await promise;
    } finally {
      this.#opening.delete(id);
      channel.off("close", refused);
    }
    return channel;
  }

  protected override take(frame: Frame): void {
    if (frame.type === FrameType.OPENED) this.#opening.get(frame.channel)?.();
    else super.take(frame);
  }
}

/** The guest's end: `dialPort` connects to a port of the guest. */
export class BridgeGuest extends BridgeEnd {
  readonly #dialPort: (port: number) => Promise<Duplex>;
  /** Connections under way, those whose channels are over included. */
  #dials = 0;

  constructor(stream: Duplex, dialPort: (port: number) => Promise<Duplex>) {
    super(stream);
    this.#dialPort = dialPort;
  }

  protected override take(frame: Frame): void {
    if (frame.type === FrameType.OPEN) this.#open(frame.channel, frame.payload.readUInt32BE());
    else super.take(frame);
  }

  #open(id: number, port: number): void {
    if (this.channels.has(id)) throw new VsockError("handshake", `bridge: expected a new channel, got ${id}`);
    if (Math.max(this.channels.size, this.#dials) >= MAX_CHANNELS) return this.send(FrameType.RESET, id);
    const channel = this.add(id);
    this.#dials += 1;
    void this.#dialPort(port).then(
      (target) => {
        this.#dials -= 1;
        target.on("error", () => {});
        if (channel.destroyed) return void target.destroy();
        this.send(FrameType.OPENED, id);
        joinSockets(channel, target);
      },
      () => {
        this.#dials -= 1;
        channel.destroy();
      },
    );
  }
}

/** Reads exactly {@link HELLO}; the stream is left paused behind it. */
async function hear(stream: Duplex, signal: AbortSignal): Promise<void> {
  const wanted = Buffer.from(HELLO);
  let have: Buffer = Buffer.alloc(0);
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const fail = (text: string): void => reject(new VsockError("handshake", text));
  const data = (chunk: Buffer): void => {
    have = Buffer.concat([have, chunk]);
    const word = have.subarray(0, wanted.length);
    if (!wanted.subarray(0, word.length).equals(word)) return fail(`expected ${HELLO.trim()}, got something else`);
    if (have.length < wanted.length) return;
    stream.pause();
    stream.off("data", data);
    const rest = have.subarray(wanted.length);
    if (rest.length > 0) stream.unshift(rest);
    resolve();
  };
  const ended = (): void => fail("expected a guest's first word, got the end");
  const aborted = (): void => reject(signal.reason as Error);
  stream.on("data", data).once("close", ended).once("error", reject);
  signal.addEventListener("abort", aborted, { once: true });
  try {
    signal.throwIfAborted();
    await promise;
  } finally {
    signal.removeEventListener("abort", aborted);
    stream.off("data", data).off("close", ended).off("error", reject);
  }
}
