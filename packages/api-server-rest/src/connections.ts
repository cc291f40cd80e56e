import type { Socket } from "node:net";

/**
 * The connections of all containers, of which there is a number. Where they are at their end, the one whose peer has been
 * waited for longest makes room: nobody keeps its neighbours out by holding connections. One whose reply is being made is
 * left alone.
 */
export class Connections {
  readonly #max: number;
  /** Requests whose replies are being made. */
  readonly #open = new Map<Socket, number>();
  /** Those without any; who has been so for longest comes first. */
  readonly #waiting = new Set<Socket>();

  constructor(max: number) {
    this.#max = max;
  }

  /** Takes the connection, or ends it where all others are being answered. */
  add(socket: Socket): void {
    if (this.#open.size >= this.#max) {
      const [longest = socket] = this.#waiting;
      longest.destroy();
      this.#forget(longest);
      if (longest === socket) return;
    }
    this.#open.set(socket, 0);
    this.#waiting.add(socket);
    socket.once("close", () => this.#forget(socket));
  }

  /** From now on it is this server that is waited for. */
  starts(socket: Socket): void {
    const replies = this.#open.get(socket);
    if (replies === undefined) return;
    this.#open.set(socket, replies + 1);
    this.#waiting.delete(socket);
  }

  /** From now on it is the peer: for its body, for its reading, for its next request. */
  ends(socket: Socket): void {
    const replies = this.#open.get(socket);
    if (replies === undefined) return;
    this.#open.set(socket, replies - 1);
    if (replies === 1) this.#waiting.add(socket);
  }

  #forget(socket: Socket): void {
    this.#open.delete(socket);
    this.#waiting.delete(socket);
  }
}
