import { once } from "node:events";
import { connect, type Socket } from "node:net";

import { describe, expect, it } from "vitest";

import { Harness } from "./components.ts";

const MAX_CONNECTIONS = 4;
const INFO = "GET /info HTTP/1.1\r\n\r\n";
const RESOURCE = "GET /cdh/resource/repo/type/tag HTTP/1.1\r\n\r\n";

describe("when all connections are taken", () => {
  it.each([
    ["say nothing", ""],
    ["were answered", INFO],
    ["send half of a head", "GET /info HT"],
    ["send half of a body that is too long", "POST /aa/aael HTTP/1.1\r\nContent-Length: 444444\r\n\r\n{"],
  ])("by peers that %s, the one that is so for longest makes room", async (_, text) => {
    await using harness = await Harness.start("all", { maxConnections: MAX_CONNECTIONS });
    await using peers = new Peers(harness.port);
    const answered = text === INFO || text.includes("444444");
    const holders: Socket[] = [];
    // One after the other: their order is known.
    for (let at = 0; at < MAX_CONNECTIONS; at += 1) {
      const holder = await peers.connected();
      holders.push(holder);
      if (text !== "") holder.write(text);
      if (answered) await once(holder, "data");
    }
    const closed = holders.map((holder) => once(holder, "close"));
    const neighbour = await peers.connected();
    neighbour.write(INFO);
    expect(String((await once(neighbour, "data"))[0])).toMatch(/^HTTP\/1\.1 200 /u);
    await closed[0];
    expect(holders.slice(1).map(({ destroyed }) => destroyed)).toEqual([false, false, false]);
  });

  it("by peers that send half of a body, one of them makes room", async () => {
    await using harness = await Harness.start("all", { maxConnections: MAX_CONNECTIONS });
    await using peers = new Peers(harness.port);
    const holders = await Promise.all(Array.from({ length: MAX_CONNECTIONS }, () => peers.connected()));
    for (const holder of holders) holder.write("POST /aa/aael HTTP/1.1\r\nContent-Length: 44\r\n\r\n{");
    const closed = Promise.race(holders.map((holder) => once(holder.resume(), "close")));
    const neighbour = await peers.connected();
    neighbour.write(INFO);
    expect(String((await once(neighbour, "data"))[0])).toMatch(/^HTTP\/1\.1 200 /u);
    await closed;
  });

  it("by peers that are being answered, the next is refused, and they are answered", async () => {
    await using harness = await Harness.start("all", { maxConnections: MAX_CONNECTIONS });
    await using peers = new Peers(harness.port);
    const asked = Promise.withResolvers<void>();
    const given = Promise.withResolvers<void>();
    let calls = 0;
    await harness.hub({
      GetResource: async () => {
        if ((calls += 1) === MAX_CONNECTIONS) asked.resolve();
        await given.promise;
        return { Resource: Buffer.from("golden-secret") };
      },
    });
    const holders = await Promise.all(Array.from({ length: MAX_CONNECTIONS }, () => peers.connected()));
    const replies = holders.map(async (holder) => String((await once(holder, "data"))[0]));
    for (const holder of holders) holder.write(RESOURCE);
    await asked.promise;
    const refused = await peers.connected();
    await once(refused.resume(), "close");
    given.resolve();
    for (const reply of await Promise.all(replies)) expect(reply).toMatch(/^HTTP\/1\.1 200 /u);
  });

  it("counts a peer that asks twice at once as being answered until both are", async () => {
    await using harness = await Harness.start("all", { maxConnections: 1 });
    await using peers = new Peers(harness.port);
    const asked = Promise.withResolvers<void>();
    const given = Promise.withResolvers<void>();
    await harness.hub({
      GetResource: async () => {
        asked.resolve();
        await given.promise;
        return { Resource: Buffer.from("golden-secret") };
      },
    });
    const holder = await peers.connected();
    let heard = "";
    holder.setEncoding("latin1").on("data", (text: string) => (heard += text));
    holder.write(INFO + RESOURCE);
    await asked.promise;
    while (!heard.includes("200")) await once(holder, "data");
    await once((await peers.connected()).resume(), "close");
    given.resolve();
    while (!heard.endsWith("golden-secret")) await once(holder, "data");
  });
});

/** Connections to the server, of which none is left. */
class Peers implements AsyncDisposable {
  readonly #port: number;
  readonly #sockets: Socket[] = [];

  constructor(port: number) {
    this.#port = port;
  }

  async connected(): Promise<Socket> {
    const socket = connect(this.#port, "127.0.0.1");
    this.#sockets.push(socket);
    await once(socket, "connect");
    // A connection that the server ended may be reset.
    socket.on("error", () => undefined);
    return socket;
  }

  [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    return Promise.resolve();
  }
}
