/** What a {@link Transport} tells its user. */
export interface TransportHandlers {
  /** Bytes from the peer. The chunk is valid only until the call returns: its memory may be used again. */
  data(chunk: Uint8Array): void;
  /** The peer will send no more; it may still read. */
  end(): void;
  /** Both directions are over; told once, last. */
  close(err?: Error): void;
  /** What was written has gone out; told after a write that returned false. */
  drain(): void;
}

/** A connected duplex of bytes. `@nacre/vsock` makes them from sockets, {@link transportPair} in memory. */
export interface Transport {
  /** Begins delivery. Called once. */
  start(handlers: TransportHandlers): void;
  /**
   * Sends chunks in order, as one system call where the platform can; false = above the high-water mark. `sent` is told
   * once when none of them is needed any more, also where they are dropped; until then they must not change.
   */
  write(chunks: readonly Uint8Array[], sent?: () => void): boolean;
  /** Stops delivery of data, so that the peer feels back-pressure. */
  pause(): void;
  /** Takes delivery up again; never calls `data` before it returns. */
  resume(): void;
  /** Sends what was written, then tells the peer that no more comes. */
  end(): void;
  /** Drops the connection in both directions at once. */
  destroy(err?: Error): void;
}

/** Bytes that one direction of an in-memory pair holds before `write` returns false. */
const HIGH_WATER = 64 << 10;

class MemoryTransport implements Transport {
  /** The other end; itself until {@link transportPair} joins the two. */
  peer: MemoryTransport = this;
  #handlers: TransportHandlers | undefined;
  readonly #inbox: Uint8Array[] = [];
  /** What is told when a chunk of the inbox was taken. */
  readonly #taken = new Map<Uint8Array, () => void>();
  #inboxBytes = 0;
  #inboxEnded = false;
  #paused = false;
  #scheduled = false;
  #needDrain = false;
  #ended = false;
  #endTold = false;
  #closed = false;

  start(handlers: TransportHandlers): void {
    this.#handlers = handlers;
    this.#schedule();
  }

  write(chunks: readonly Uint8Array[], sent?: () => void): boolean {
    const peer = this.peer;
    if (this.#closed || this.#ended) {
      sent?.();
      return true;
    }
    const last = chunks.at(-1);
    if (sent !== undefined && last !== undefined) peer.#taken.set(last, sent);
    for (const chunk of chunks) {
      peer.#inbox.push(chunk);
      peer.#inboxBytes += chunk.length;
    }
    peer.#schedule();
    this.#needDrain = peer.#inboxBytes > HIGH_WATER;
    return !this.#needDrain;
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    this.#paused = false;
    this.#schedule();
  }

  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.peer.#inboxEnded = true;
    this.peer.#schedule();
    this.#schedule();
  }

  destroy(err?: Error): void {
    if (this.#closed) return;
    this.#close(err);
    this.peer.#close(err === undefined ? undefined : new Error("connection reset by peer", { cause: err }));
  }

  #close(err?: Error): void {
    if (this.#closed) return;
    this.#closed = true;
    queueMicrotask(() => {
      // A peer that only went away has its last words read first, as a kernel would have it.
      if (err === undefined) this.#deliver();
      this.#inbox.length = 0;
      this.#inboxBytes = 0;
      for (const taken of this.#taken.values()) taken();
      this.#taken.clear();
      this.#handlers?.close(err);
    });
  }

  #schedule(): void {
    if (this.#scheduled || this.#closed) return;
    this.#scheduled = true;
    queueMicrotask(() => {
      this.#scheduled = false;
      if (!this.#closed) this.#deliver();
    });
  }

  #deliver(): void {
    const handlers = this.#handlers;
    if (handlers === undefined) return;
    for (;;) {
      const chunk = this.#paused ? undefined : this.#inbox.shift();
      if (chunk === undefined) break;
      this.#inboxBytes -= chunk.length;
      handlers.data(chunk);
      this.#taken.get(chunk)?.();
      this.#taken.delete(chunk);
    }
    const peer = this.peer;
    if (peer.#needDrain && this.#inboxBytes <= HIGH_WATER / 2) {
      peer.#needDrain = false;
      queueMicrotask(() => {
        if (!peer.#closed) peer.#handlers?.drain();
      });
    }
    if (this.#inbox.length > 0 || !this.#inboxEnded || this.#closed) return;
    if (!this.#endTold) {
      this.#endTold = true;
      handlers.end();
    }
    if (this.#ended) this.#close();
  }
}

/** Two connected transports in memory: what one writes the other receives, with back-pressure and half-close. */
export function transportPair(): [Transport, Transport] {
  const a = new MemoryTransport();
  const b = new MemoryTransport();
  a.peer = b;
  b.peer = a;
  return [a, b];
}
