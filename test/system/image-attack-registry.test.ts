import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { createServer, type Server, type Socket, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { ImagePuller, NodeHttp, systemClock, WorkerPool } from "@nacre/image-puller";
import { linuxSyscalls, mountInfo } from "@nacre/kata-sys-util";
import { parseRegistryConfig } from "oci-client";
import { afterAll, afterEach, beforeEach, describe, expect, it } from "vitest";
import { hostArchitecture, sha256 } from "../fixtures/image.ts";
import { tar } from "../fixtures/tar.ts";

// A registry that answers bytes of its own choice: what no library would send.

const sys = linuxSyscalls();
const http = new NodeHttp();
const pool = new WorkerPool({
  workerUrl: new URL(import.meta.resolve("@nacre/image-puller/unpack-worker")),
  workers: 2,
});
const servers: { readonly server: Server; readonly sockets: Set<Socket> }[] = [];
let dir = "";
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "nacre-hostile-"));
});
afterEach(async () => {
  for (const { server, sockets } of servers.splice(0)) {
    server.close();
    for (const socket of sockets) socket.destroy();
  }
  for (const { mountPoint } of (await mountInfo()).toReversed()) {
    if (mountPoint.startsWith(`${dir}/`)) await sys.umount2(mountPoint);
  }
  rmSync(dir, { recursive: true, force: true });
});
afterAll(async () => {
  await pool.close();
  http.close();
});

/** Sends what `answer` says for a path, on the bare connection. */
async function hostile(answer: (path: string, socket: Socket, head: string) => void): Promise<string> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
    socket.on("error", () => undefined);
    socket.on("data", (request) => {
      const head = request.toString("latin1");
      answer(head.split(" ")[1] ?? "", socket, head);
    });
  });
  servers.push({ server, sockets });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

function reply(socket: Socket, body: Uint8Array | string, headers = "", status = "200 OK"): void {
  const length = `content-length: ${Buffer.byteLength(body)}\r\n`;
  socket.write(`HTTP/1.1 ${status}\r\n${headers.includes("content-length") ? "" : length}${headers}\r\n`);
  socket.write(body);
}

interface Image {
  readonly manifest: Buffer;
  readonly config: Buffer;
  readonly blob: Buffer;
}

/** A one-layer image, as its documents. */
function image(archive: Buffer, blob: Buffer = gzipSync(archive), changes: Record<string, unknown> = {}): Image {
  const rootfs = { type: "layers", diff_ids: [sha256(archive)] };
  const config = Buffer.from(JSON.stringify({ os: "linux", architecture: hostArchitecture(), rootfs, ...changes }));
  const layer = { mediaType: "application/vnd.oci.image.layer.v1.tar+gzip", digest: sha256(blob), size: blob.length };
  const manifest = Buffer.from(
    JSON.stringify({ schemaVersion: 2, config: { digest: sha256(config), size: config.length }, layers: [layer] }),
  );
  return { manifest, config, blob };
}

/** The honest answer for a path of `image`; undefined for its layer. */
function document({ manifest, config }: Image, path: string): Buffer | undefined {
  if (path.includes("/manifests/")) return manifest;
  return path.endsWith(sha256(config)) ? config : undefined;
}

async function open(...addresses: string[]): Promise<ImagePuller> {
  return await ImagePuller.open({
    workDir: join(dir, "image"),
    http,
    clock: systemClock,
    sys,
    unpacking: pool,
    registries: parseRegistryConfig({ registry: addresses.map((location) => ({ location, insecure: true })) }),
    retry: { attempts: 2, firstPauseMs: 1, longestPauseMs: 1 },
  });
}

async function refusal(address: string): Promise<string> {
  const puller = await open(address);
  const error: unknown = await puller.pull(`${address}/a:v1`, join(dir, "b")).then(
    () => undefined,
    (failure: unknown) => failure,
  );
  expect(error).toBeInstanceOf(Error);
  const left = ["layers", "overlays", "tmp"].flatMap((store) => readdirSync(join(dir, "image", store)));
  expect(left).toEqual([]);
  expect(readdirSync(dir)).toEqual(["image"]);
  return (error as Error).message;
}

const good = image(tar([{ name: "f", data: "content" }]));

describe("a hostile registry", () => {
  it.each<[string, (socket: Socket) => void, RegExp]>([
    ["no HTTP", (socket) => socket.write("SSH-2.0-x\r\n"), /error sending request/],
    [
      "a protocol of its own",
      (socket) => socket.write("HTTP/1.1 101 x\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n"),
      /error/,
    ],
    ["nothing", (socket) => socket.end(), /error sending request/],
    ["a head without end", (socket) => socket.write(`HTTP/1.1 200 OK\r\nx: ${"y".repeat(100_000)}`), /error sending/],
    ["two lengths", (socket) => reply(socket, "{}", "content-length: 2\r\ncontent-length: 3\r\n"), /error sending/],
    [
      "less than it announces",
      (socket) => socket.end("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{}"),
      /error sending/,
    ],
    [
      "a version that is a text of megabytes",
      (socket) => reply(socket, `{"schemaVersion":"${"x".repeat(4_000_000)}"}`),
      /schemaVersion 2/,
    ],
    ["a version of brackets", (socket) => reply(socket, `{"schemaVersion":${"[".repeat(1e6)}${"]".repeat(1e6)}}`), /./],
    [
      "a line for the log",
      (socket) => reply(socket, '{"errors":[{"message":"a\\nb\\u001b[2J"}]}', "", "400 x"),
      /OCI API error: a b \[2J/,
    ],
    ["a secret of another server", (socket) => reply(socket, "top-secret"), /not a JSON document$/],
    ["a challenge of nothing", (socket) => reply(socket, "", "www-authenticate: ,,,=\r\n", "401 x"), /./],
    [
      "a realm that is no URL",
      (socket) => reply(socket, "", 'www-authenticate: Bearer realm="::"\r\n', "401 x"),
      /realm/,
    ],
    ["a redirect to a file", (socket) => reply(socket, "", "location: file:///etc/passwd\r\n", "302 x"), /refused/],
  ])("answers %s", async (_name, answer, why) => {
    const message = await refusal(await hostile((_path, socket) => answer(socket)));
    expect(message).toMatch(why);
    expect(message).not.toMatch(/top-secret|[\u0000-\u0009\u000b-\u001f]/);
    expect(message.length).toBeLessThan(10_000);
  });

  it("redirects to a place whose address is a secret", async () => {
    const address = await hostile((path, socket) => {
      const own = document(good, path);
      if (own !== undefined) reply(socket, own);
      else if (path.startsWith("/signed")) socket.destroy();
      else reply(socket, "", "location: /signed/blob?signature=s3cret\r\n", "307 x");
    });
    const message = await refusal(address);
    expect(message).toContain("/signed/blob)");
    expect(message).not.toContain("s3cret");
  });

  it("sends blobs in an encoding that was not asked for: the digest is that of what came", async () => {
    const address = await hostile((path, socket) => {
      const own = document(good, path) ?? good.blob;
      reply(socket, path.includes("/blobs/") ? gzipSync(own) : own, "content-encoding: gzip\r\n");
    });
    expect(await refusal(address)).toMatch(/expected|longer/);
  });

  it("breaks off between head and body, each time", async () => {
    const address = await hostile((path, socket) => {
      const own = document(good, path);
      if (own !== undefined) return reply(socket, own);
      socket.write(`HTTP/1.1 200 OK\r\ncontent-length: ${good.blob.length}\r\n\r\n`, () => socket.resetAndDestroy());
    });
    expect(await refusal(address)).toContain("error sending request");
  });

  it.each<[string, Record<string, unknown>, RegExp]>([
    ["another kind of root", { rootfs: { type: "x", diff_ids: [] } }, /rootfs is not of type layers/],
    ["a diff_id that is a number", { rootfs: { type: "layers", diff_ids: [1] } }, /not a list of strings/],
    ["a machine of megabytes and lines", { architecture: `a\nb${"c".repeat(1e6)}` }, /image for linux\/a bc/],
    ["another system", { os: "windows" }, /image for windows/],
  ])("has a configuration with %s", async (_name, changes, why) => {
    const bad = image(tar([]), undefined, changes);
    const address = await hostile((path, socket) => reply(socket, document(bad, path) ?? bad.blob));
    const message = await refusal(address);
    expect(message).toMatch(why);
    expect(message.length).toBeLessThan(10_000);
  });

  it("cannot hold up a layer that another registry has too", async () => {
    const asked = Promise.withResolvers<void>();
    const stalling = await hostile((path, socket) => {
      const own = document(good, path);
      if (own === undefined) asked.resolve();
      else reply(socket, own);
    });
    const honest = await hostile((path, socket) => reply(socket, document(good, path) ?? good.blob));
    const puller = await open(stalling, honest);
    const abort = new AbortController();
    const stalled = puller.pull(`${stalling}/a:v1`, join(dir, "stalled"), abort.signal);
    stalled.catch(() => undefined);
    await asked.promise;
    await puller.pull(`${honest}/a:v1`, join(dir, "honest"));
    expect(readFileSync(join(dir, "honest/rootfs/f"), "utf8")).toBe("content");
    abort.abort(new Error("enough"));
    await expect(stalled).rejects.toThrow("enough");
    expect(existsSync(join(dir, "stalled"))).toBe(false);
    expect(readdirSync(join(dir, "image/tmp"))).toEqual([]);
  });

  it("may send the same layer at the same time from two places", async () => {
    const waiting: (() => void)[] = [];
    const together = async (): Promise<string> =>
      await hostile((path, socket) => {
        const own = document(good, path);
        if (own !== undefined) return reply(socket, own);
        waiting.push(() => reply(socket, good.blob));
        if (waiting.length === 2) for (const send of waiting) send();
      });
    const [one, two] = [await together(), await together()];
    const puller = await open(one, two);
    await Promise.all([puller.pull(`${one}/a:v1`, join(dir, "1")), puller.pull(`${two}/a:v1`, join(dir, "2"))]);
    for (const name of ["1", "2"]) expect(readFileSync(join(dir, name, "rootfs/f"), "utf8")).toBe("content");
    expect(readdirSync(join(dir, "image/layers"))).toHaveLength(1);
    expect(readdirSync(join(dir, "image/tmp"))).toEqual([]);
  });
});
