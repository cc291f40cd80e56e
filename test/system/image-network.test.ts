import { createCipheriv } from "node:crypto";
import { existsSync, lstatSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { createServer, request as httpRequest, type Server } from "node:http";
import { type AddressInfo, connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CredentialStore, parseRegistryConfig } from "oci-client";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { linuxSyscalls, mountInfo } from "@nacre/kata-sys-util";
import { ImagePuller, type ImagePullerOptions, NodeHttp, systemClock, WorkerPool } from "@nacre/image-puller";
import { changed } from "../fixtures/changed.ts";
import { type Exchange, startFront } from "../fixtures/registry-front.ts";
import { busyboxImage, pushImage, type Registry, startRegistry } from "../fixtures/registry.ts";
import { tar } from "../fixtures/tar.ts";

const sys = linuxSyscalls();
const WORKER = new URL(import.meta.resolve("@nacre/image-puller/unpack-worker"));

let registry: Registry;
let http: NodeHttp;
let pool: WorkerPool;
let dir = "";
const servers: Server[] = [];
beforeAll(async () => {
  registry = await startRegistry();
  http = new NodeHttp();
  pool = new WorkerPool({ workerUrl: WORKER, workers: 1 });
});
afterAll(async () => {
  await pool.close();
  http.close();
  await registry.close();
});
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "nacre-net-"));
});
afterEach(async () => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    server.close();
  }
  for (const { mountPoint } of (await mountInfo()).toReversed()) {
    if (mountPoint.startsWith(`${dir}/`)) await sys.umount2(mountPoint);
  }
  rmSync(dir, { recursive: true, force: true });
});

/** A puller whose registry at `address`, if any, is plain HTTP. */
async function open(address: string, options: Partial<ImagePullerOptions> = {}): Promise<ImagePuller> {
  return await ImagePuller.open({
    workDir: join(dir, "image"),
    http,
    clock: systemClock,
    sys,
    unpacking: pool,
    registries: parseRegistryConfig({ registry: address === "" ? [] : [{ location: address, insecure: true }] }),
    retry: { attempts: 3, firstPauseMs: 10, longestPauseMs: 20 },
    ...options,
  });
}
const bundle = (name = "b"): string => join(dir, name);
const leftovers = (): string[] => [
  ...["layers", "overlays", "tmp"].flatMap((store) => readdirSync(join(dir, "image", store))),
  ...readdirSync(dir).filter((name) => name !== "image"),
];

/** A front that ends with the test; returns its address. */
async function front(handle: (exchange: Exchange) => void): Promise<string> {
  const { address, server } = await startFront(registry, handle);
  servers.push(server);
  return address;
}

const SIZE = 500_000;
/** Nothing that a compressor finds a pattern in: the blob is as large as the file. */
const noise = createCipheriv("aes-128-ctr", Buffer.alloc(16), Buffer.alloc(16)).update(Buffer.alloc(SIZE));
const layers = [tar([{ name: "large", data: noise }])];
const sizeOf = (name = "b"): number => lstatSync(join(dir, name, "rootfs/large")).size;

describe("TLS and credentials", () => {
  it.each(["none", "basic", "token"] as const)("with an extra root, authentication: %s", async (auth) => {
    await using secure = await startRegistry({ tls: true, auth });
    const image = await busyboxImage(secure, "test/bb:v1");
    const credentials = (password: string): CredentialStore => {
      const entry = { auth: Buffer.from(`testuser:${password}`).toString("base64") };
      return CredentialStore.parse(Buffer.from(JSON.stringify({ auths: { [secure.address]: entry } })));
    };
    const trusting = new NodeHttp({ extraRoots: [secure.ca ?? ""] });
    const right = await open("", { http: trusting, credentials: credentials("test:password") });
    await right.pull(image.reference, bundle("right"));
    expect(existsSync(join(dir, "right/rootfs/bin/sh"))).toBe(true);

    const untrusting = await open("", { credentials: credentials("test:password") });
    await expect(untrusting.pull(image.reference, bundle())).rejects.toThrow("error sending request for url");
    if (auth !== "none") {
      const wrong = await open("", { http: trusting, credentials: credentials("wrong") });
      await expect(wrong.pull(image.reference, bundle())).rejects.toThrow("Not authorized");
      const anonymous = await open("", { http: trusting });
      await expect(anonymous.pull(image.reference, bundle())).rejects.toThrow("Not authorized");
    }
    expect(readdirSync(dir).toSorted()).toEqual(["image", "right"]);
    trusting.close();
  });
});

describe("proxies", () => {
  /** A proxy for plain requests and for tunnels; keeps what it was asked for. */
  async function startProxy(): Promise<{ url: string; asked: string[] }> {
    const asked: string[] = [];
    const proxy = createServer((request, response) => {
      asked.push(`${request.method} ${request.url}`);
      const url = new URL(request.url ?? "");
      const onward = httpRequest(url, { method: request.method, headers: request.headers }, (answer) => {
        response.writeHead(answer.statusCode ?? 502, answer.headers);
        answer.pipe(response);
      });
      onward.on("error", () => response.destroy());
      onward.end();
    });
    proxy.on("connect", (request, socket) => {
      asked.push(`CONNECT ${request.url}`);
      const [host = "", port = ""] = (request.url ?? "").split(":");
      const onward = connect(Number(port), host, () => {
        socket.write("HTTP/1.1 200 OK\r\n\r\n");
        onward.pipe(socket).pipe(onward);
      });
      onward.on("error", () => socket.destroy());
      socket.on("error", () => onward.destroy());
    });
    servers.push(proxy);
    await new Promise<void>((resolve) => proxy.listen(0, "127.0.0.1", resolve));
    return { url: `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`, asked };
  }

  it("plain requests name the whole URL, TLS goes through a tunnel, exceptions go neither way", async () => {
    await using secure = await startRegistry({ tls: true });
    const proxy = await startProxy();
    const images = [
      await pushImage(registry, "test/p:v1", { layers }),
      await pushImage(secure, "test/p:v1", { layers }),
    ];
    for (const exceptions of [undefined, "127.0.0.1"]) {
      const proxied = new NodeHttp({
        extraRoots: [secure.ca ?? ""],
        proxy: { http: proxy.url, https: proxy.url, exceptions },
      });
      for (const [index, { reference }] of images.entries()) {
        const puller = await open(registry.address, { http: proxied, workDir: join(dir, `${exceptions}-${index}`) });
        const before = proxy.asked.length;
        await puller.pull(reference, bundle(`bundle-${exceptions}-${index}`));
        const asked = proxy.asked.slice(before);
        if (exceptions !== undefined) expect(asked).toEqual([]);
        else if (index === 0) expect(asked[0]).toBe(`GET http://${registry.address}/v2/test/p/manifests/v1`);
        else expect(new Set(asked)).toEqual(new Set([`CONNECT ${secure.address}`]));
      }
      proxied.close();
    }
  });
});

describe("bad networks", () => {
  it("a download that breaks again and again still becomes whole", async () => {
    await pushImage(registry, "test/broken:v1", { layers, compression: "none" });
    const ranges: (string | undefined)[] = [];
    const address = await front(({ body, large, range, response }) => {
      if (!large) return void response.end(body);
      ranges.push(range);
      const from = Number(/bytes=(\d+)-/.exec(range ?? "")?.[1] ?? 0);
      response.writeHead(from === 0 ? 200 : 206, {
        "content-length": body.length - from,
        "content-range": `bytes ${from}-${body.length - 1}/${body.length}`,
      });
      if (ranges.length > 4) response.end(body.subarray(from));
      else response.write(body.subarray(from, from + 50_000), () => response.socket?.destroySoon());
    });
    await (await open(address)).pull(`${address}/test/broken:v1`, bundle());
    expect(sizeOf()).toBe(SIZE);
    expect(ranges).toHaveLength(5);
    for (const range of ranges.slice(1)) expect(range).toMatch(/^bytes=[1-9]\d*-$/);
  });

  it("a registry that falls silent is given up", async () => {
    const address = await front(() => undefined);
    const impatient = new NodeHttp({ idleTimeoutMs: 50 });
    const puller = await open(address, { http: impatient });
    await expect(puller.pull(`${address}/test/x:v1`, bundle())).rejects.toThrow(`no data from ${address} for 50 ms`);
    expect(leftovers()).toEqual([]);
    impatient.close();
  });

  it("a blob that is not what its digest says is refused", async () => {
    await pushImage(registry, "test/forged:v1", { layers, compression: "none" });
    const address = await front(({ body, large, response }) => {
      const middle = body.length >> 1;
      if (large) body[middle] = (body[middle] ?? 0) ^ 1;
      response.end(body);
    });
    const puller = await open(address);
    await expect(puller.pull(`${address}/test/forged:v1`, bundle())).rejects.toThrow("layer: expected digest sha256:");
    expect(leftovers()).toEqual([]);
  });

  it("aborting ends download and unpacking, not those of others, and the next pull works", async () => {
    await pushImage(registry, "test/abort:v1", { layers });
    const stalled = Promise.withResolvers<void>();
    let stall = true;
    const address = await front(({ body, large, response }) => {
      if (!stall || !large) return void response.end(body);
      response.setHeader("content-length", body.length);
      response.write(body.subarray(0, body.length >> 1), () => stalled.resolve());
    });
    const puller = await open(address);
    const image = `${address}/test/abort:v1`;
    const first = new AbortController();
    const pulling = puller.pull(image, bundle(), first.signal);
    pulling.catch(() => undefined);
    await stalled.promise;
    // A second one comes to wait for the same layer.
    const second = new AbortController();
    const waiting = puller.pull(image, bundle("second"), second.signal);
    waiting.catch(() => undefined);
    await changed(dir, () => existsSync(bundle("second")));
    await changed(bundle("second"), () => existsSync(join(bundle("second"), "config.json")));
    first.abort(new Error("the deadline has passed"));
    await expect(pulling).rejects.toThrow("the deadline has passed");
    expect(existsSync(bundle())).toBe(false);
    expect(existsSync(bundle("second"))).toBe(true);
    second.abort(new Error("and now this one"));
    await expect(waiting).rejects.toThrow("and now this one");
    expect(leftovers()).toEqual([]);
    stall = false;
    await puller.pull(image, bundle());
    expect(sizeOf()).toBe(SIZE);
  });
});
