import { createServer as createHttp, type IncomingMessage, type ServerResponse } from "node:http";
import { once } from "node:events";
import { createServer as createTcp, type AddressInfo, type Server, type Socket } from "node:net";

import { KbsProtocolError } from "@nacre/kbs-protocol";
import { afterEach, describe, expect, it } from "vitest";

import { NodeKbsHttp, proxiesOf } from "../src/index.ts";

const closing: (() => void)[] = [];
afterEach(() => {
  for (const close of closing.splice(0)) close();
});

function client(options?: ConstructorParameters<typeof NodeKbsHttp>[0]): NodeKbsHttp {
  const made = new NodeKbsHttp(options);
  closing.push(() => made.close());
  return made;
}

async function listen(server: Server): Promise<string> {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  closing.push(() => server.close());
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

function broker(answer: (request: IncomingMessage, response: ServerResponse) => void): Promise<string> {
  return listen(createHttp(answer));
}

/** A peer that speaks bytes. */
function raw(onSocket: (socket: Socket) => void): Promise<string> {
  return listen(
    createTcp((socket) => {
      socket.on("error", () => undefined);
      closing.push(() => socket.destroy());
      onSocket(socket);
    }),
  );
}

const get = { method: "GET", headers: {}, maxBody: 1000 } as const;

describe("a broker", () => {
  it("is asked, and its reply is whole", async () => {
    const url = await broker((request, response) => {
      response.setHeader("set-cookie", ["a=1", "b=2"]);
      response.writeHead(401);
      request.setEncoding("utf8").on("data", (body: string) => {
        response.end(`${request.method} ${request.url} ${String(request.headers["x-y"])} ${body}`);
      });
    });
    const reply = await client().send({
      ...get,
      method: "POST",
      url: `${url}/p?q`,
      headers: { "x-y": "z" },
      body: "ü",
    });
    expect(reply).toEqual({ status: 401, cookies: ["a=1", "b=2"], body: "POST /p?q z ü" });
  });

  it("may redirect, and nobody follows", async () => {
    const url = await broker((_, response) => response.writeHead(302, { location: "http://127.0.0.1:1/" }).end());
    expect((await client().send({ ...get, url })).status).toBe(302);
  });

  it("may send no more than the bound", async () => {
    const url = await broker((_, response) => {
      response.end("x".repeat(1001));
    });
    await expect(client().send({ ...get, url })).rejects.toMatchObject({ code: "too-long" });
  });

  it.each([
    ["refuses", undefined],
    ["closes", (socket: Socket) => socket.destroy()],
    ["closes half-way", (socket: Socket) => socket.end("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc")],
    ["sends garbage", (socket: Socket) => socket.end("\0\0\0\0garbage\r\n\r\n")],
    [
      "switches protocols",
      (socket: Socket) => socket.end("HTTP/1.1 101 X\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n"),
    ],
    ["stalls", () => undefined],
    ["drips", (socket: Socket) => socket.write("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc")],
  ])("that %s was not reached", async (_, behave) => {
    const url = behave === undefined ? "http://127.0.0.1:1" : await raw(behave);
    await expect(client({ timeoutMs: 300 }).send({ ...get, url })).rejects.toMatchObject({ code: "network" });
  });

  it("that closed a kept connection is asked on a new one", async () => {
    let requests = 0;
    const url = await raw((socket) => {
      socket.on("data", () => {
        // The first connection ends with its second request.
        if (++requests === 2) socket.resetAndDestroy();
        else socket.write("HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\na");
      });
    });
    const one = client();
    expect((await one.send({ ...get, url })).body).toBe("a");
    expect((await one.send({ ...get, url })).body).toBe("a");
    expect(requests).toBe(3);
  });

  it("is given up with the caller's signal", async () => {
    const url = await raw(() => undefined);
    const reason = new Error("enough");
    const signal = AbortSignal.abort(reason);
    await expect(client().send({ ...get, url, signal })).rejects.toBe(reason);
  });

  it.each([["ftp://x/"], ["x"], [""]])("is not at %s", async (url) => {
    await expect(client().send({ ...get, url })).rejects.toBeInstanceOf(KbsProtocolError);
  });

  it("is asked through a proxy", async () => {
    const proxy = await broker((request, response) => {
      response.end(`for ${request.url}`);
    });
    const url = "http://broker.invalid/kbs";
    const proxies = proxiesOf({ http_proxy: proxy });
    expect((await client({ proxies }).send({ ...get, url })).body).toBe(`for ${url}`);
    await expect(client().send({ ...get, url })).rejects.toMatchObject({ code: "network" });
  });
});

it("finds proxies in an environment", () => {
  expect(proxiesOf({})).toBeUndefined();
  expect(proxiesOf({ NO_PROXY: "x", HTTP_PROXY: "" })).toBeUndefined();
  expect(proxiesOf({ no_proxy: "x", HTTPS_PROXY: "http://p", HTTP_PROXY: "a", http_proxy: "b" })).toEqual({
    HTTP_PROXY: "b",
    HTTPS_PROXY: "http://p",
    NO_PROXY: "x",
  });
});

it("pins something or nothing", () => {
  expect(() => new NodeKbsHttp({ pin: true })).toThrow("broker: expected a certificate to pin");
});
