import type { Duplex } from "node:stream";

/** Keeps a socket in the set while it is open; its errors end there. */
export function track<S extends Duplex>(sockets: Set<S>, socket: S): void {
  sockets.add(socket);
  socket.on("error", () => {}).on("close", () => sockets.delete(socket));
}

/** Copies both ways with back-pressure. An end is passed on and the other direction lives; a failure ends both. */
export function joinSockets(a: Duplex, b: Duplex): void {
  a.pipe(b);
  b.pipe(a);
  const pass = (from: Duplex, to: Duplex): void => {
    from.on("close", () => {
      // After an orderly end the other socket still has bytes to send; after a failure there is nothing to wait for.
      if (!from.readableEnded || !from.writableFinished) to.destroy();
    });
  };
  pass(a, b);
  pass(b, a);
}
