import type { Socket } from "node:net";

/** Keeps a socket in the set while it is open; its errors end there. */
export function track(sockets: Set<Socket>, socket: Socket): void {
  sockets.add(socket);
  socket.on("error", () => {}).on("close", () => sockets.delete(socket));
}

/** Copies both ways with back-pressure. An end is passed on and the other direction lives; a failure ends both. */
export function joinSockets(a: Socket, b: Socket): void {
  a.pipe(b);
  b.pipe(a);
  const pass = (from: Socket, to: Socket): void => {
    from.on("close", () => {
      // After an orderly end the other socket still has bytes to send; after a failure there is nothing to wait for.
      if (!from.readableEnded || !from.writableFinished) to.destroy();
    });
  };
  pass(a, b);
  pass(b, a);
}
