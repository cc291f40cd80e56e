import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import type { Duplex } from "node:stream";

import { dialSocket } from "@nacre/vsock";
import { type WebSocket, WebSocketServer } from "ws";

import { describeError, NacreError } from "../error.ts";
import { linesOf } from "../follow-file.ts";
import { bundleOf, sourceMap } from "./source-map.ts";

/** Longest message of either side: a heap snapshot comes in smaller parts. */
const MAX_MESSAGE: number = 64 * 1024 * 1024;
/** The guest is on this machine. */
const DIAL_TIMEOUT_MS = 10_000;
/** WebSocket's code for a service that is not there now (RFC 6455, the registry of close codes). */
const TRY_AGAIN = 1013;
/** The longest reason that a close frame has room for, in bytes. */
const MAX_REASON = 120;

export interface DebugServerOptions {
  /** Whose debugger it is; shown to users. */
  readonly daemon: string;
  /** The guest's port of it, as `dial` takes it. */
  readonly guestAddress: string;
  /** Where the source maps of the guest's bundles lie. */
  readonly sourceMaps: string;
  /** Bundles whose map lies under another name. Default: none. */
  readonly bundleNames?: Readonly<Record<string, string>>;
}

/**
 * Node's debugger protocol on a loopback port of this machine, for a daemon inside a guest: what Chrome's DevTools and
 * editors connect to. The addresses stay while the guest is restarted. Each bundle's script is given the address of its
 * source map, which this server has, too.
 */
export class DebugServer {
  readonly #options: DebugServerOptions;
  readonly #id: string;
  readonly #http: Server;
  readonly #sockets: WebSocketServer = new WebSocketServer({ noServer: true, maxPayload: MAX_MESSAGE });

  private constructor(options: DebugServerOptions, id: string) {
    this.#options = options;
    this.#id = id;
    this.#http = createServer((request, response) => this.#answer(request, response));
    this.#http.on("upgrade", (request, socket, head) => this.#upgrade(request, socket, head));
  }

  /** At `url` if it is given, which a server before this one had. */
  static async listen(options: DebugServerOptions, url?: string): Promise<DebugServer> {
    const { port, pathname } = new URL(url ?? `ws://127.0.0.1:0/${randomUUID()}`);
    const server = new DebugServer(options, pathname.slice(1));
    server.#http.listen(Number(port), "127.0.0.1");
    try {
      await once(server.#http, "listening");
    } catch (cause) {
      throw new NacreError("environment", `the debugger's port 127.0.0.1:${port}`, { cause });
    }
    return server;
  }

  /** `127.0.0.1:PORT`. */
  get host(): string {
    return `127.0.0.1:${(this.#http.address() as AddressInfo).port}`;
  }

  /** What a debugger connects to; nobody guesses it, as with Node's own. */
  get url(): string {
    return `ws://${this.host}/${this.#id}`;
  }

  async close(): Promise<void> {
    for (const client of this.#sockets.clients) client.terminate();
    this.#http.close();
    this.#http.closeAllConnections();
    await Promise.resolve();
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    // A page of the web that has its own name resolve to this machine is told nothing.
    if (!this.#isOurs(request.headers.host)) return void response.writeHead(400).end();
    const body = this.#document(new URL(request.url ?? "/", `http://${this.host}`).pathname);
    if (request.method !== "GET" || body === undefined) return void response.writeHead(404).end();
    // Pages of DevTools, which fetch source maps, have an origin of their own.
    response.writeHead(200, { "content-type": "application/json; charset=UTF-8", "access-control-allow-origin": "*" });
    response.end(body);
  }

  #document(path: string): string | undefined {
    const { daemon, sourceMaps } = this.#options;
    if (path === "/json/version") return JSON.stringify({ Browser: "node.js", "Protocol-Version": "1.1" });
    if (path === "/json" || path === "/json/list") {
      const target = {
        description: "Nacre guest",
        devtoolsFrontendUrl: `devtools://devtools/bundled/js_app.html?v8only=true&ws=${this.host}/${this.#id}`,
        id: this.#id,
        title: daemon,
        type: "node",
        url: `file:///usr/lib/nacre/${daemon}.mjs`,
        webSocketDebuggerUrl: this.url,
      };
      return JSON.stringify([target]);
    }
    const bundle = path.startsWith(`/${this.#id}/`) ? path.slice(this.#id.length + 2).replace(/\.map$/u, "") : "";
    return bundleOf(`file:///usr/lib/nacre/${bundle}`) === undefined
      ? undefined
      : sourceMap(sourceMaps, this.#options.bundleNames?.[bundle] ?? bundle);
  }

  #upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    socket.on("error", () => {});
    if (!this.#isOurs(request.headers.host) || request.url !== `/${this.#id}`) {
      return void socket.end("HTTP/1.1 404 Not Found\r\nConnection: close\r\n\r\n");
    }
    this.#sockets.handleUpgrade(request, socket, head, (client) => {
      this.#join(client).catch((error: unknown) => {
        client.close(TRY_AGAIN, Buffer.from(describeError(error)).subarray(0, MAX_REASON).toString("latin1"));
      });
    });
  }

  #isOurs(host: string | undefined): boolean {
    return host === this.host || host === this.host.replace("127.0.0.1", "localhost");
  }

  async #join(client: WebSocket): Promise<void> {
    // What the debugger says before the guest is there is kept.
    const early: string[] = [];
    let guest: Socket | undefined;
    client.on("error", () => {});
    client.on("message", (data: Buffer) => {
      // A line feed in JSON is white space.
      const line = `${data.toString("utf8").replaceAll("\n", " ")}\n`;
      if (guest === undefined) early.push(line);
      else guest.write(line);
    });
    client.on("close", () => guest?.destroy());
    const { daemon, guestAddress } = this.#options;
    try {
      guest = await dialSocket(guestAddress, { timeoutMs: DIAL_TIMEOUT_MS });
    } catch (cause) {
      throw new NacreError("guest", `${daemon} offers no debugger`, { cause });
    }
    guest.on("error", () => {});
    if (client.readyState !== client.OPEN) return void guest.destroy();
    for (const line of early) guest.write(line);
    try {
      for await (const line of linesOf(guest, MAX_MESSAGE)) client.send(this.#withSourceMap(line));
    } catch {
      // A guest that ends abruptly has ended.
    }
    client.close();
  }

  /** A script that is one of our bundles gets the address of its map, which its text does not name. */
  #withSourceMap(line: string): string {
    if (!line.startsWith('{"method":"Debugger.scriptParsed"')) return line;
    const message = JSON.parse(line) as { params: { url: string; sourceMapURL?: string } };
    const bundle = bundleOf(message.params.url);
    if (bundle === undefined) return line;
    message.params.sourceMapURL = `http://${this.host}/${this.#id}/${bundle}.map`;
    return JSON.stringify(message);
  }
}
