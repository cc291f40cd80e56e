import { describe, expect, it } from "vitest";
import { digestOf, OciError, parseReference, RepositoryClient, type RegistryClientOptions } from "../src/index.ts";
import { FakeClock, FakeHttp, type FakeResponse } from "./fake-http.ts";

const OCI_IMAGE = "application/vnd.oci.image.manifest.v1+json";
const OCI_INDEX = "application/vnd.oci.image.index.v1+json";
const LINUX = { os: "linux", architecture: "amd64" };
const blob = Buffer.from("0123456789");
const descriptor = { mediaType: "x", digest: digestOf(blob), size: blob.length, annotations: {} };
const manifest = Buffer.from(
  JSON.stringify({ schemaVersion: 2, mediaType: OCI_IMAGE, config: descriptor, layers: [] }),
);
const network = (text = "broken"): OciError => new OciError("network", text);

function client(
  answer: (
    path: string,
    request: { headers: Readonly<Record<string, string>>; url: URL },
    count: number,
  ) => FakeResponse,
  options: Partial<RegistryClientOptions> = {},
  image = "r.test/a/b:v1",
): { repository: RepositoryClient; http: FakeHttp; clock: FakeClock } {
  const http = new FakeHttp((request, count) => answer(request.url.pathname, request, count));
  const clock = new FakeClock();
  return { repository: new RepositoryClient(parseReference(image), { http, clock, ...options }), http, clock };
}

async function read(chunks: AsyncIterable<Uint8Array>): Promise<string> {
  const parts: Uint8Array[] = [];
  for await (const chunk of chunks) parts.push(chunk);
  return Buffer.concat(parts).toString();
}

describe("resolve", () => {
  it("asks for all four kinds and returns the digest of what came", async () => {
    const { repository, http } = client(() => ({ headers: { "content-type": OCI_IMAGE }, body: manifest }));
    expect(await repository.resolve(LINUX)).toMatchObject({ manifestDigest: digestOf(manifest) });
    expect(http.requests[0]?.url.href).toBe("https://r.test/v2/a/b/manifests/v1");
    expect(http.requests[0]?.headers["accept"]?.split(", ")).toHaveLength(4);
  });

  it("goes through an index to the platform's manifest", async () => {
    const entry = { mediaType: OCI_IMAGE, digest: digestOf(manifest), size: manifest.length };
    const index = Buffer.from(JSON.stringify({ schemaVersion: 2, manifests: [{ ...entry, platform: LINUX }] }));
    const { repository } = client((path) =>
      path.endsWith("/v1") ? { headers: { "content-type": OCI_INDEX }, body: index } : { body: manifest },
    );
    expect(await repository.resolve(LINUX)).toMatchObject({
      indexDigest: digestOf(index),
      manifestDigest: digestOf(manifest),
    });
  });

  it("refuses an index inside an index", async () => {
    const inner = Buffer.from(JSON.stringify({ schemaVersion: 2, manifests: [] }));
    const entry = { mediaType: OCI_INDEX, digest: digestOf(inner), size: inner.length, platform: LINUX };
    const { repository } = client((path) => ({
      body: path.endsWith("/v1") ? JSON.stringify({ schemaVersion: 2, manifests: [entry] }) : inner,
    }));
    await expect(repository.resolve(LINUX)).rejects.toThrow("an index inside an index");
  });

  it("refuses an entry of another size", async () => {
    const entry = { mediaType: OCI_IMAGE, digest: digestOf(manifest), size: manifest.length + 1, platform: LINUX };
    const { repository } = client((path) => ({
      body: path.endsWith("/v1") ? JSON.stringify({ schemaVersion: 2, manifests: [entry] }) : manifest,
    }));
    await expect(repository.resolve(LINUX)).rejects.toMatchObject({ code: "size" });
  });

  it("asks for a pinned digest and refuses anything else", async () => {
    const pinned = digestOf(Buffer.from("another"));
    const { repository, http } = client(() => ({ body: manifest }), {}, `r.test/a/b:v1@${pinned}`);
    await expect(repository.resolve(LINUX)).rejects.toMatchObject({ code: "digest" });
    expect(http.requests.map(({ url }) => url.pathname)).toEqual([`/v2/a/b/manifests/${pinned}`]);
  });

  it("holds the announced digest against the document", async () => {
    const { repository } = client(() => ({
      headers: { "docker-content-digest": digestOf(Buffer.from("another")) },
      body: manifest,
    }));
    await expect(repository.resolve(LINUX)).rejects.toMatchObject({ code: "digest" });
  });

  it("accepts a right announced SHA-512 and still returns SHA-256", async () => {
    const { repository } = client(() => ({
      headers: { "docker-content-digest": digestOf(manifest, "sha512") },
      body: manifest,
    }));
    expect((await repository.resolve(LINUX)).manifestDigest).toBe(digestOf(manifest));
  });

  it("reads no manifest beyond 4 MiB", async () => {
    const { repository } = client(() => ({ body: Array.from({ length: 5 }, () => Buffer.alloc(1024 * 1024)) }));
    await expect(repository.resolve(LINUX)).rejects.toMatchObject({ code: "size" });
  });

  it("reports what the registry says", async () => {
    const { repository } = client(() => ({
      status: 404,
      body: JSON.stringify({ errors: [{ code: "MANIFEST_UNKNOWN", message: "manifest unknown" }] }),
    }));
    await expect(repository.resolve(LINUX)).rejects.toThrow(
      "Registry error: url https://r.test/v2/a/b/manifests/v1, envelope: OCI API errors: [OCI API error: manifest unknown]",
    );
  });

  it("does not try a refusal again", async () => {
    const { repository, http } = client(() => ({ status: 404 }));
    await expect(repository.resolve(LINUX)).rejects.toMatchObject({ code: "not-found" });
    expect(http.requests).toHaveLength(1);
  });
});

describe("retries", () => {
  it("waits longer each time and gives up with the last failure", async () => {
    const { repository, http, clock } = client(() => ({ status: 503, body: "overloaded" }));
    await expect(repository.resolve(LINUX)).rejects.toThrow(
      "Server error: url https://r.test/v2/a/b/manifests/v1, code: 503, message: overloaded",
    );
    expect(http.requests).toHaveLength(5);
    expect(clock.sleeps).toEqual([250, 500, 1000, 2000]);
  });

  it.each([
    ["7", 7000],
    ["Tue, 14 Nov 2023 22:13:25 GMT", 5000],
    ["99999", 30_000],
    ["soon", 250],
  ])("honours Retry-After: %s", async (header, ms) => {
    const { repository, clock } = client((_path, _request, count) =>
      count === 1 ? { status: 429, headers: { "retry-after": header } } : { body: manifest },
    );
    await repository.resolve(LINUX);
    expect(clock.sleeps).toEqual([ms]);
  });

  it("stops at once when the caller gives up", async () => {
    const abort = new AbortController();
    const { repository, http } = client(() => {
      abort.abort(new Error("enough"));
      return { status: 503 };
    });
    await expect(repository.resolve(LINUX, abort.signal)).rejects.toThrow("enough");
    expect(http.requests).toHaveLength(1);
  });
});

describe("blob", () => {
  it("goes on where a connection broke", async () => {
    const { repository, http } = client((_path, { headers }) => {
      const from = Number(/bytes=(\d+)-/.exec(headers["range"] ?? "bytes=0-")?.[1]);
      return {
        status: from === 0 ? 200 : 206,
        headers: { "content-range": `bytes ${from}-9/10` },
        body: blob.subarray(from, from + 4),
        ...(from + 4 < 10 ? { breaks: network() } : {}),
      };
    });
    expect(await read(repository.blob(descriptor))).toBe("0123456789");
    expect(http.requests.map(({ headers }) => headers["range"])).toEqual([undefined, "bytes=4-", "bytes=8-"]);
  });

  it("skips what it has when the registry knows no ranges", async () => {
    const { repository } = client((_path, _request, count) =>
      count === 1
        ? { body: blob.subarray(0, 7), breaks: network() }
        : { body: [blob.subarray(0, 3), blob.subarray(3)] },
    );
    expect(await read(repository.blob(descriptor))).toBe("0123456789");
  });

  it("refuses another range than it asked for", async () => {
    const { repository } = client((_path, _request, count) =>
      count === 1
        ? { body: blob.subarray(0, 7), breaks: network() }
        : { status: 206, headers: { "content-range": "bytes 5-9/10" }, body: blob.subarray(5) },
    );
    await expect(read(repository.blob(descriptor))).rejects.toThrow("asked for bytes from 7");
  });

  it("gives up when there is no progress any more", async () => {
    const { repository, http } = client(() => ({ breaks: network("no route") }));
    await expect(read(repository.blob(descriptor))).rejects.toThrow("no route");
    expect(http.requests).toHaveLength(5);
  });

  it("does not resume for ever, however little each attempt brings", async () => {
    const long = { ...descriptor, size: 1000 };
    const { repository, http } = client((_path, { headers }) => {
      const from = Number(/bytes=(\d+)-/.exec(headers["range"] ?? "bytes=0-")?.[1]);
      return {
        status: from === 0 ? 200 : 206,
        headers: { "content-range": `bytes ${from}-999/1000` },
        body: "x",
        breaks: network(),
      };
    });
    await expect(read(repository.blob(long))).rejects.toMatchObject({ code: "network" });
    expect(http.requests).toHaveLength(51);
  });

  it.each([
    ["more", "0123456789x", "expected 10 bytes, got more"],
    ["fewer", "012345678", "expected 10 bytes, got 9"],
  ])("refuses %s bytes than the descriptor says", async (_, body, why) => {
    const { repository, http } = client(() => ({ body }));
    await expect(read(repository.blob(descriptor))).rejects.toThrow(why);
    expect(http.requests).toHaveLength(1);
  });
});

describe("config", () => {
  it("refuses one that is larger than its cap without asking for it", async () => {
    const { repository, http } = client(() => ({ body: blob }));
    await expect(repository.config({ ...descriptor, size: 9 * 1024 * 1024 })).rejects.toMatchObject({ code: "size" });
    expect(http.requests).toHaveLength(0);
  });

  it("holds it against its digest", async () => {
    const { repository } = client(() => ({ body: "0123456780" }));
    await expect(repository.config(descriptor)).rejects.toMatchObject({ code: "digest" });
  });
});

describe("authorisation", () => {
  const credentials = { username: "u", password: "p:q" };
  const basic = `Basic ${Buffer.from("u:p:q").toString("base64")}`;

  it("sends no credentials before it is asked", async () => {
    const { repository, http } = client(() => ({ body: manifest }), { credentials });
    await repository.resolve(LINUX);
    expect(http.requests[0]?.headers).not.toHaveProperty("authorization");
  });

  it("answers a Basic challenge and remembers it", async () => {
    const { repository, http } = client(
      (_path, { headers }) =>
        headers["authorization"] === basic
          ? { body: manifest }
          : { status: 401, headers: { "www-authenticate": 'Basic realm="x"' } },
      { credentials },
    );
    await repository.resolve(LINUX);
    await repository.resolve(LINUX);
    expect(http.requests.map(({ headers }) => headers["authorization"])).toEqual([undefined, basic, basic]);
  });

  it("says so when the credentials are wrong, and when there are none", async () => {
    for (const options of [{ credentials }, {}]) {
      const { repository } = client(() => ({ status: 401, headers: { "www-authenticate": "Basic" } }), options);
      await expect(repository.resolve(LINUX)).rejects.toThrow("Not authorized: url https://r.test/v2/a/b/manifests/v1");
    }
  });

  const bearer = { "www-authenticate": 'Bearer realm="https://auth.test/token?x=1",service="reg"' };
  const withTokens = (valid: () => string, lifetime = 300) =>
    client(
      (path, { headers, url }) => {
        if (url.hostname === "auth.test") {
          expect(headers["authorization"]).toBe(basic);
          return { body: JSON.stringify({ token: valid(), expires_in: lifetime }) };
        }
        return headers["authorization"] === `Bearer ${valid()}` ? { body: manifest } : { status: 401, headers: bearer };
      },
      { credentials },
    );

  it("fetches a token for the repository and keeps it", async () => {
    const { repository, http } = withTokens(() => "t1");
    await repository.resolve(LINUX);
    await repository.resolve(LINUX);
    expect(http.requests.map(({ url }) => url.href)).toEqual([
      "https://r.test/v2/a/b/manifests/v1",
      "https://auth.test/token?x=1&service=reg&scope=repository%3Aa%2Fb%3Apull",
      "https://r.test/v2/a/b/manifests/v1",
      "https://r.test/v2/a/b/manifests/v1",
    ]);
  });

  it("fetches a new token when the old one has ended or is refused", async () => {
    let token = "t1";
    const { repository, http, clock } = withTokens(() => token);
    await repository.resolve(LINUX);
    clock.time += 296_000;
    await repository.resolve(LINUX);
    token = "t2";
    await repository.resolve(LINUX);
    expect(http.requests.filter(({ url }) => url.hostname === "auth.test")).toHaveLength(3);
  });

  it("reports a token server that refuses", async () => {
    const { repository } = client(
      (_path, { url }) => (url.hostname === "auth.test" ? { status: 403 } : { status: 401, headers: bearer }),
      { credentials },
    );
    await expect(repository.resolve(LINUX)).rejects.toThrow(/^Not authorized: url https:\/\/auth\.test\/token/);
  });

  it("sends no password to a token server without TLS when the registry has it", async () => {
    const challenge = { "www-authenticate": 'Bearer realm="http://auth.test/token"' };
    const { repository, http } = client(() => ({ status: 401, headers: challenge }), { credentials });
    await expect(repository.resolve(LINUX)).rejects.toThrow("is not https");
    expect(http.requests).toHaveLength(1);
  });
});

describe("redirects", () => {
  const credentials = { username: "u", password: "p" };
  const asking = { status: 401, headers: { "www-authenticate": "Basic" } };

  it("keep the credentials with the registry, also on the way back", async () => {
    const { repository, http } = client(
      (_path, { headers, url }) => {
        if (url.hostname === "cdn.test") return { status: 307, headers: { location: "https://r.test/elsewhere" } };
        if (url.pathname === "/elsewhere") return { body: blob };
        if (headers["authorization"] === undefined) return asking;
        return { status: 307, headers: { location: "https://cdn.test/blob?signature=x" } };
      },
      { credentials },
    );
    expect(await read(repository.blob(descriptor))).toBe("0123456789");
    expect(
      http.requests.map(({ url, headers }) => [url.host + url.pathname, headers["authorization"] !== undefined]),
    ).toEqual([
      [`r.test/v2/a/b/blobs/${descriptor.digest}`, false],
      [`r.test/v2/a/b/blobs/${descriptor.digest}`, true],
      ["cdn.test/blob", false],
      ["r.test/elsewhere", false],
    ]);
  });

  it("do not let their target ask for the credentials", async () => {
    const challenge = { "www-authenticate": 'Bearer realm="https://thief.test/token",Basic' };
    const { repository, http } = client(
      (_path, { url }) =>
        url.hostname === "r.test"
          ? { status: 307, headers: { location: "https://thief.test/blob" } }
          : { status: 401, headers: challenge },
      { credentials },
    );
    await expect(read(repository.blob(descriptor))).rejects.toThrow("Not authorized");
    expect(http.requests.map(({ url, headers }) => [url.pathname, headers["authorization"]])).toEqual([
      [`/v2/a/b/blobs/${descriptor.digest}`, undefined],
      ["/blob", undefined],
    ]);
  });

  it("do not give up TLS", async () => {
    const { repository } = client(() => ({ status: 302, headers: { location: "http://cdn.test/blob" } }));
    await expect(read(repository.blob(descriptor))).rejects.toThrow(
      "redirect from https://r.test to http://cdn.test refused",
    );
  });

  it("do not go in circles", async () => {
    const { repository, http } = client(() => ({ status: 302, headers: { location: "/again" } }));
    await expect(read(repository.blob(descriptor))).rejects.toThrow("more than 10 redirects");
    expect(http.requests).toHaveLength(11);
  });

  it("need a location", async () => {
    const { repository } = client(() => ({ status: 302 }));
    await expect(read(repository.blob(descriptor))).rejects.toThrow("without a usable location");
  });
});
