import { once } from "node:events";
import { connect, type Socket } from "node:net";

import { describe, expect, it } from "vitest";

import { Harness } from "./components.ts";

/** What is sent slowly, or not to its end, is waited for so long; whole replies come much sooner. */
const REQUEST_TIMEOUT_MS = 2000;
const TOO_LONG = "Illegal AAEL eventry format: expected at most 65536 bytes";
const BODY_BYTES = 200_000;
const PIECE_BYTES = 10_000;

/** A peer that writes what it is told, and hears everything. */
class Peer implements Disposable {
  readonly socket: Socket;
  text = "";
  readonly closed: Promise<void>;

  constructor(port: number) {
    this.socket = connect(port, "127.0.0.1");
    this.socket.setEncoding("utf8").on("data", (part: string) => (this.text += part));
    // Half of a body may be refused while the other half is on its way.
    this.socket.on("error", () => undefined);
    this.closed = new Promise((resolve) => this.socket.once("close", () => resolve()));
  }

  async write(text: string): Promise<void> {
    await new Promise<void>((resolve) => this.socket.write(text, () => resolve()));
  }

  async heard(pattern: RegExp): Promise<void> {
    while (!pattern.test(this.text)) await once(this.socket, "data");
  }

  [Symbol.dispose](): void {
    this.socket.destroy();
  }
}

const HEADS = {
  "a length": `POST /aa/aael HTTP/1.1\r\nContent-Length: ${BODY_BYTES}\r\n\r\n`,
  chunks: "POST /aa/aael HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
};
const piece = (kind: keyof typeof HEADS): string => {
  const text = "x".repeat(PIECE_BYTES);
  return kind === "chunks" ? `${PIECE_BYTES.toString(16)}\r\n${text}\r\n` : text;
};

describe.each(["a length", "chunks"] as const)("a body with %s that is too long", (kind) => {
  it("is answered when all of it came, and the connection ends", async () => {
    await using harness = await Harness.start("all");
    using peer = new Peer(harness.port);
    await peer.write(HEADS[kind]);
    for (let sent = 0; sent < BODY_BYTES; sent += PIECE_BYTES) await peer.write(piece(kind));
    if (kind === "chunks") await peer.write("0\r\n\r\n");
    await peer.closed;
    expect(peer.text).toMatch(/^HTTP\/1\.1 500 /u);
    expect(peer.text.split("\r\n\r\n")[1]).toBe(TOO_LONG);
  });

  it("is answered when half of it never comes, and the connection ends", async () => {
    await using harness = await Harness.start("all", { requestTimeoutMs: REQUEST_TIMEOUT_MS });
    using peer = new Peer(harness.port);
    await peer.write(HEADS[kind]);
    for (let sent = 0; sent < BODY_BYTES / 2; sent += PIECE_BYTES) await peer.write(piece(kind));
    await peer.closed;
    expect(peer.text).toMatch(/^HTTP\/1\.1 500 /u);
    expect(peer.text.split("\r\n\r\n").slice(1)).toEqual([TOO_LONG]);
  });

  it("is answered while the peer still sends", async () => {
    await using harness = await Harness.start("all");
    using peer = new Peer(harness.port);
    await peer.write(HEADS[kind]);
    for (let sent = 0; sent < BODY_BYTES / 2; sent += PIECE_BYTES) await peer.write(piece(kind));
    await peer.heard(new RegExp(`${TOO_LONG}$`, "u"));
    for (let sent = BODY_BYTES / 2; sent < BODY_BYTES; sent += PIECE_BYTES) await peer.write(piece(kind));
    if (kind === "chunks") await peer.write("0\r\n\r\n");
    await peer.closed;
    expect(peer.text).toMatch(/^HTTP\/1\.1 500 [^]*\r\nconnection: close\r\n/iu);
  });
});

describe.concurrent("a peer that stalls", () => {
  it.each([
    ["in its head", "POST /aa/aael HTTP/1.1\r\nContent-Le"],
    ["in its body", 'POST /aa/aael HTTP/1.1\r\nContent-Length: 44\r\n\r\n{"domain":'],
    ["in a chunk", 'POST /aa/aael HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2c\r\n{"domain":'],
    ["before its first byte", ""],
  ])("%s is sent away", async (_, text) => {
    await using harness = await Harness.start("all", { requestTimeoutMs: REQUEST_TIMEOUT_MS });
    using peer = new Peer(harness.port);
    if (text !== "") await peer.write(text);
    await peer.closed;
    expect(peer.text).toMatch(/^HTTP\/1\.1 408 /u);
  });
});
