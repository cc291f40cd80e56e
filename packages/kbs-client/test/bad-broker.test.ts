import { once } from "node:events";
import { createServer, type AddressInfo, type Socket } from "node:net";

import {
  attest,
  bearerSessions,
  type EvidenceSource,
  getResource,
  type KbsClock,
  MAX_REPLY,
  parseResourceUri,
  TeeKey,
} from "@nacre/kbs-protocol";
import { afterAll, describe, expect, it } from "vitest";

import { NodeKbsHttp } from "../src/index.ts";

/** Of a broker that says nothing any more; the others are waited for. */
const TIMEOUT_MS = 500;
/** As many as a failure of the environment is tried. */
const TRIES = 5;
const clock: KbsClock = { monotonic: () => 0, sleep: () => Promise.resolve() };
const evidence: EvidenceSource = {
  tee: () => "sample",
  evidence: () => Promise.resolve('{"svn":"1"}'),
  additionalEvidence: () => Promise.resolve(new Map()),
};

const closing: (() => void)[] = [];
afterAll(() => {
  for (const close of closing.splice(0)) close();
});

type Answer = (socket: Socket) => void;

/** A broker that speaks bytes: what it answers is by the last part of the path. */
async function broker(
  answers: Readonly<Record<string, Answer>>,
): Promise<{ readonly url: string; readonly requests: string[] }> {
  const requests: string[] = [];
  const server = createServer((socket) => {
    closing.push(() => socket.destroy());
    socket.on("error", () => undefined);
    let text = "";
    socket.setEncoding("latin1").on("data", (part: string) => {
      text += part;
      const [head = "", body] = text.split(/\r\n\r\n(.*)/su);
      if (body === undefined || body.length < Number(/content-length: (\d+)/iu.exec(head)?.[1] ?? 0)) return;
      text = "";
      const [, asked = ""] = /^[A-Z]+ \S*\/(\S+) /u.exec(head) ?? [];
      requests.push(asked);
      answers[asked]?.(socket);
    });
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  closing.push(() => server.close());
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, requests };
}

const reply =
  (body: string, status = "200 OK", headers = ""): Answer =>
  (socket) => {
    socket.write(`HTTP/1.1 ${status}\r\ncontent-length: ${Buffer.byteLength(body)}\r\n${headers}\r\n${body}`);
  };
const challenge = reply('{"nonce":"bm9uY2U=","extra-params":""}', "200 OK", "set-cookie: kbs-session-id=x\r\n");

/** Writes for as long as somebody reads. */
const endless =
  (head: string, piece: string): Answer =>
  (socket) => {
    socket.write(head);
    const more = (): void => {
      while (!socket.destroyed && socket.write(piece));
    };
    socket.on("drain", more);
    more();
  };
const CHUNK = `4000\r\n${"x".repeat(0x4000)}\r\n`;

function client(what: string): NodeKbsHttp {
  const http = new NodeKbsHttp(what.startsWith("stalls") ? { timeoutMs: TIMEOUT_MS } : {});
  closing.push(() => http.close());
  return http;
}

/** Code of the failure, and how often the broker was asked. */
const BAD: readonly (readonly [what: string, answer: Answer, code: string, tries: number])[] = [
  ["stalls", () => undefined, "network", TRIES],
  ["stalls in a head", (socket) => socket.write("HTTP/1.1 200 O"), "network", TRIES],
  ["stalls in a body", (socket) => socket.write("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{"), "network", TRIES],
  ["closes", (socket) => socket.end(), "network", TRIES],
  ["resets", (socket) => socket.resetAndDestroy(), "network", TRIES],
  ["closes in a body", (socket) => socket.end("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{"), "network", TRIES],
  [
    "closes in a chunk",
    (socket) => socket.end("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n9\r\n{"),
    "network",
    TRIES,
  ],
  ["sends no HTTP", (socket) => socket.end("\u0000\u0001garbage\r\n\r\n"), "network", TRIES],
  ["sends a head without an end", endless("HTTP/1.1 200 OK\r\n", `x: ${"y".repeat(1000)}\r\n`), "network", TRIES],
  ["says two lengths", reply("{}", "200 OK", "content-length: 9\r\n"), "network", TRIES],
  ["sends no JSON", reply("<html>"), "json", 1],
  [
    "sends bytes that are no text",
    (socket) => socket.write("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n\xff\xfe", "latin1"),
    "json",
    1,
  ],
  ["sends deep JSON", reply("[".repeat(10_000)), "json", 1],
  ["sends a long body", reply("x".repeat(MAX_REPLY + 1)), "too-long", 1],
  [
    "sends a body without an end",
    endless("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", CHUNK),
    "too-long",
    1,
  ],
  ["sends a body to its close without an end", endless("HTTP/1.1 200 OK\r\n\r\n", CHUNK), "too-long", 1],
  ["fails", reply("", "500 Internal Server Error"), "peer", 1],
  ["answers nothing", reply("", "204 No Content"), "peer", 1],
];

/** A kept connection that ends without a reply may have been closed before; what it was asked is asked on a new one. */
const UNHEARD: readonly string[] = ["closes", "resets"];

describe.concurrent.each(BAD)("a broker that %s", (what, answer, code, tries) => {
  it("at its challenge is asked as often as that helps", async () => {
    const { url, requests } = await broker({ auth: answer });
    await expect(attest({ url, http: client(what), evidence, initdata: undefined, clock })).rejects.toMatchObject({
      code,
    });
    expect(requests).toEqual(Array(tries).fill("auth"));
  });

  it("at its token has the handshake begin anew where that helps", async () => {
    const { url, requests } = await broker({ auth: challenge, attest: answer });
    await expect(attest({ url, http: client(what), evidence, initdata: undefined, clock })).rejects.toMatchObject({
      code,
    });
    const round = ["auth", "attest", ...(UNHEARD.includes(what) ? ["attest"] : [])];
    expect(requests).toEqual(Array.from({ length: tries }, () => round).flat());
  });
});

describe.concurrent.each(BAD.filter(([, , code]) => code !== "json"))(
  "a broker that %s",
  (what, answer, code, tries) => {
    it("at a resource hands out nothing, and keeps the token to itself", async () => {
      const { url, requests } = await broker({ c: answer });
      const key = await TeeKey.generate("ECDH-ES+A256KW-P256");
      const sessions = bearerSessions(() => Promise.resolve({ token: "TOKEN", key }));
      const uri = parseResourceUri("kbs:///a/b/c");
      await expect(getResource(uri, { url, http: client(what), sessions, clock })).rejects.toMatchObject({
        code,
        message: expect.not.stringContaining("TOKEN") as string,
      });
      expect(requests).toEqual(Array(tries).fill("c"));
    });
  },
);

describe("a broker that redirects", () => {
  it.each(["301", "302", "303", "307", "308"])("with %s is not followed: evidence goes nowhere else", async (what) => {
    const other = await broker({});
    const moved = reply("", `${what} Moved`, `location: ${other.url}/kbs/v0/auth\r\n`);
    for (const answers of [{ auth: moved }, { auth: challenge, attest: moved }]) {
      const { url } = await broker(answers);
      await expect(attest({ url, http: client(what), evidence, initdata: undefined, clock })).rejects.toMatchObject({
        code: "peer",
      });
    }
    expect(other.requests).toEqual([]);
  });
});
