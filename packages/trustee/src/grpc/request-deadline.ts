import type { Server } from "node:http";
import type { Socket } from "node:net";

/**
 * Closes connections that take longer than this, in milliseconds, to send a request whole: from their beginning or the
 * reply before. A server that is handed its connections, and does not listen itself, has none of Node's own deadlines.
 */
export function boundRequests(server: Server, ms: number): void {
  const timers = new Map<Socket, NodeJS.Timeout>();
  const stop = (socket: Socket): void => {
    clearTimeout(timers.get(socket));
    timers.delete(socket);
  };
  const start = (socket: Socket): void => {
    stop(socket);
    if (!socket.destroyed)
      timers.set(
        socket,
        setTimeout(() => socket.destroy(), ms),
      );
  };
  server.on("connection", (socket: Socket) => {
    socket.once("close", () => stop(socket));
    start(socket);
  });
  server.on("request", (request, response) => {
    const { socket } = request;
    request.once("end", () => {
      // A body that nobody read ends after the reply, in the time of the next request.
      if (!response.writableFinished) stop(socket);
    });
    response.once("finish", () => start(socket));
  });
}
