import type { Socket } from "node:net";
import type { Transport, TransportHandlers } from "@nacre/ttrpc";

/**
 * A socket as a {@link Transport}. The socket must allow half-open use: ending each direction is the user's decision.
 * Takes the socket over; nothing else may listen to it.
 */
export function socketTransport(socket: Socket): Transport {
  return new SocketTransport(socket);
}

class SocketTransport implements Transport {
  readonly #socket: Socket;
  #error: Error | undefined;

  constructor(socket: Socket) {
    this.#socket = socket;
    // From the first moment: an error without a listener ends the process.
    socket.on("error", (error: NodeJS.ErrnoException) => {
      // On vsock a peer that closes abruptly shows as ENOTCONN on read: the end of the stream, no failure.
      if (error.code !== "ENOTCONN") this.#error ??= error;
    });
  }

  start(handlers: TransportHandlers): void {
    const socket = this.#socket;
    socket.on("end", () => handlers.end());
    socket.on("drain", () => handlers.drain());
    if (socket.closed) queueMicrotask(() => handlers.close(this.#error));
    else socket.on("close", () => handlers.close(this.#error));
    socket.on("data", (chunk: Buffer) => handlers.data(chunk));
    // A socket that was paused for a handshake does not begin to flow by itself.
    socket.resume();
  }

  write(chunks: readonly Uint8Array[], sent?: () => void): boolean {
    const socket = this.#socket;
    if (!socket.writable) {
      sent?.();
      return true;
    }
    const only = chunks[0];
    // Node calls back with an error, too, where the socket is destroyed first.
    if (chunks.length === 1 && only !== undefined) return socket.write(only, sent);
    // Corked, so that all chunks leave in one writev.
    let room = true;
    socket.cork();
    for (const [index, chunk] of chunks.entries()) {
      room = socket.write(chunk, index === chunks.length - 1 ? sent : undefined);
    }
    socket.uncork();
    return room;
  }

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  end(): void {
    this.#socket.end();
  }

  destroy(err?: Error): void {
    this.#error ??= err;
    this.#socket.destroy();
  }
}
