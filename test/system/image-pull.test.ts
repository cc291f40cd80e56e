import { spawnSync } from "node:child_process";
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { parseRegistryConfig } from "oci-client";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, onTestFinished } from "vitest";
import { linuxSyscalls, mountInfo } from "@nacre/kata-sys-util";
import { ImagePuller, type ImagePullerOptions, NodeHttp, systemClock, WorkerPool } from "@nacre/image-puller";
import { changed } from "../fixtures/changed.ts";
import { hostArchitecture, sha256 } from "../fixtures/image.ts";
import { startFront } from "../fixtures/registry-front.ts";
import { busyboxImage, pushImage, pushIndex, type Registry, startRegistry } from "../fixtures/registry.ts";
import { tar } from "../fixtures/tar.ts";

const sys = linuxSyscalls();
const WORKER = new URL(import.meta.resolve("@nacre/image-puller/unpack-worker"));
const LINUX = { os: "linux", architecture: hostArchitecture() };
const small = (name: string, data = name): Buffer => tar([{ name, data }]);

let registry: Registry;
let http: NodeHttp;
let pool: WorkerPool;
let dir = "";
beforeAll(async () => {
  registry = await startRegistry();
  http = new NodeHttp();
  pool = new WorkerPool({ workerUrl: WORKER, workers: 2 });
});
afterAll(async () => {
  await pool.close();
  http.close();
  await registry.close();
});
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "nacre-pull-"));
});
afterEach(async () => {
  for (const { mountPoint } of (await mountInfo()).toReversed()) {
    if (mountPoint.startsWith(`${dir}/`)) await sys.umount2(mountPoint);
  }
  rmSync(dir, { recursive: true, force: true });
});

const plain = (...addresses: string[]): ReturnType<typeof parseRegistryConfig> =>
  parseRegistryConfig({ registry: addresses.map((location) => ({ location, insecure: true })) });

async function open(options: Partial<ImagePullerOptions> = {}): Promise<ImagePuller> {
  return await ImagePuller.open({
    workDir: join(dir, "image"),
    http,
    clock: systemClock,
    sys,
    unpacking: pool,
    registries: plain(registry.address),
    retry: { attempts: 3, firstPauseMs: 10, longestPauseMs: 20 },
    ...options,
  });
}
/** A front of the registry that notes what it is asked for; it ends with the test. */
async function counted(): Promise<{ readonly address: string; readonly asked: readonly string[] }> {
  const asked: string[] = [];
  const { address, server } = await startFront(registry, ({ path, body, response }) => {
    asked.push(path);
    response.end(body);
  });
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return { address, asked };
}
const bundle = (name = "b"): string => join(dir, name);
const inRoot = (path: string, name = "b"): string => join(dir, name, "rootfs", path);
const namesIn = (path: string): string[] => (readdirSync(path, { recursive: true }) as string[]).toSorted();

/** What there is beside the empty stores: a failed pull must leave nothing. */
function leftovers(): string[] {
  const stores = existsSync(join(dir, "image")) ? ["layers", "overlays", "tmp"] : [];
  const files = stores.flatMap((store) => readdirSync(join(dir, "image", store)).map((name) => join(store, name)));
  return [...files, ...readdirSync(dir).filter((name) => name !== "image")];
}

describe("pull", () => {
  it("makes a bundle with a mounted root and tells every digest", async () => {
    const image = await busyboxImage(registry, "test/bb:v1", {
      config: {
        Entrypoint: ["/bin/sh"],
        Cmd: ["-c", "id"],
        Env: ["A=b"],
        WorkingDir: "/tmp",
        Labels: { l: "v" },
        Volumes: { "/data": {} },
      },
    });
    const puller = await open();
    expect(await puller.pull(image.reference, bundle())).toEqual({
      reference: image.reference,
      manifestDigest: image.manifestDigest,
      configDigest: image.configDigest,
      diffIds: image.diffIds,
    });
    const script = "echo works > /out && cat /out";
    const run = spawnSync("chroot", [inRoot(""), "/bin/sh", "-c", script], { encoding: "utf8" });
    expect(run.stdout).toBe("works\n");
    expect(JSON.parse(readFileSync(join(bundle(), "config.json"), "utf8"))).toMatchObject({
      process: { args: ["/bin/sh", "-c", "id"], env: ["A=b"], cwd: "/tmp" },
      annotations: { l: "v", "org.opencontainers.image.os": "linux" },
      mounts: [{ destination: "/data", type: "tmpfs" }],
    });
    await puller.remove(bundle());
    expect(existsSync(bundle())).toBe(false);
    expect(readdirSync(join(dir, "image/overlays"))).toEqual([]);
  });

  it.each(["oci", "docker"] as const)("takes %s manifests in every compression", async (format) => {
    const puller = await open();
    for (const compression of ["none", "gzip", "zstd"] as const) {
      const layers = [small("a", compression), small("b")];
      const image = await pushImage(registry, `test/forms:${format}-${compression}`, { layers, format, compression });
      await puller.pull(image.reference, bundle(compression));
      expect(readFileSync(inRoot("a", compression), "utf8")).toBe(compression);
    }
  });

  it.each(["oci", "docker"] as const)("finds the platform in an %s index", async (format) => {
    const s390x = { os: "linux", architecture: "s390x" };
    const other = await pushImage(registry, "test/index:other", { layers: [small("other")], format, platform: s390x });
    const ours = await pushImage(registry, "test/index:ours", { layers: [small("ours")], format });
    const entries = [
      { image: other, platform: { os: "unknown", architecture: "unknown" } },
      { image: other, platform: s390x },
      { image: ours, platform: LINUX },
    ];
    const digest = await pushIndex(registry, `test/index:${format}`, entries, format);
    const puller = await open();
    const pulled = await puller.pull(`${registry.address}/test/index:${format}`, bundle());
    expect(pulled).toMatchObject({ indexDigest: digest, manifestDigest: ours.manifestDigest });
    expect(readdirSync(inRoot(""))).toEqual(["ours"]);
  });

  it("stacks layers with their deletions", async () => {
    const base = tar([
      { name: "keep", data: "1" },
      { name: "gone", data: "1" },
      { name: "dir/", type: "5" },
      { name: "dir/old", data: "1" },
      { name: "whole/", type: "5" },
      { name: "whole/old", data: "1" },
    ]);
    const top = tar([
      { name: ".wh.gone" },
      { name: "dir/.wh.old" },
      { name: "dir/new", data: "2" },
      { name: "whole/", type: "5", mode: 0o711 },
      { name: "whole/.wh..wh..opq" },
      { name: "whole/new", data: "2" },
    ]);
    const image = await pushImage(registry, "test/stack:v1", { layers: [base, top] });
    const puller = await open();
    await puller.pull(image.reference, bundle());
    expect(namesIn(inRoot(""))).toEqual(["dir", "dir/new", "keep", "whole", "whole/new"]);
    expect(lstatSync(inRoot("whole")).mode & 0o777).toBe(0o711);
  });

  it("shows the upper one of two equal layers, and nothing below an opaque root", async () => {
    const puller = await open();
    const a = tar([
      { name: "f", data: "a" },
      { name: "only-a", data: "a" },
    ]);
    const b = tar([{ name: "f", data: "b" }, { name: ".wh.only-a" }]);
    const twice = await pushImage(registry, "test/stack:aba", { layers: [a, b, a] });
    await puller.pull(twice.reference, bundle("aba"));
    expect([readFileSync(inRoot("f", "aba"), "utf8"), existsSync(inRoot("only-a", "aba"))]).toEqual(["a", true]);
    const hiding = tar([{ name: ".wh..wh..opq" }, { name: "g" }]);
    const opaque = await pushImage(registry, "test/stack:opaque", { layers: [a, hiding] });
    await puller.pull(opaque.reference, bundle("opaque"));
    expect(readdirSync(inRoot("", "opaque"))).toEqual(["g"]);
  });

  it("mounts as many layers as images may have", async () => {
    const layers = Array.from({ length: 127 }, (_, n) => small(`f${n}`));
    const image = await pushImage(registry, "test/many:v1", { layers });
    const puller = await open();
    await puller.pull(image.reference, bundle());
    expect(readdirSync(inRoot(""))).toHaveLength(127);
  });

  it("gives the root directory the image's mode", async () => {
    const root = tar([{ name: "./", type: "5", mode: 0o1750, uid: 3, gid: 4 }, { name: "f" }]);
    const image = await pushImage(registry, "test/root:v1", { layers: [root] });
    const puller = await open();
    await puller.pull(image.reference, bundle());
    expect(lstatSync(inRoot(""))).toMatchObject({ mode: 0o41750, uid: 3, gid: 4 });
  });

  it("takes what umoci made and skopeo pushed", async () => {
    // Tools that share no code with ours. The demo and the guest need neither.
    const run = (command: string, ...args: string[]): void => {
      const result = spawnSync(command, args, { encoding: "utf8", cwd: dir });
      if (result.status !== 0) throw new Error(`${command} ${args.join(" ")}: ${result.stderr}`);
    };
    run("umoci", "init", "--layout", "img");
    run("umoci", "new", "--image", "img:v1");
    run("umoci", "unpack", "--image", "img:v1", "u");
    mkdirSync(join(dir, "u/rootfs/d"));
    writeFileSync(join(dir, "u/rootfs/d/gone"), "1");
    writeFileSync(join(dir, "u/rootfs/ping"), "1", { mode: 0o755 });
    const capability = Buffer.from("0100000200200000000000000000000000000000", "hex");
    sys.lsetxattr(join(dir, "u/rootfs/ping"), "security.capability", capability);
    run("umoci", "repack", "--image", "img:v1", "u");
    run("umoci", "unpack", "--image", "img:v1", "u2");
    rmSync(join(dir, "u2/rootfs/d/gone"));
    run("umoci", "repack", "--image", "img:v1", "u2");
    run("umoci", "config", "--image", "img:v1", "--architecture", LINUX.architecture, "--os", "linux");
    const puller = await open();
    for (const format of ["oci", "v2s2"]) {
      const reference = `${registry.address}/test/foreign:${format}`;
      const copy = ["--insecure-policy", "copy", "-f", format, "--dest-tls-verify=false"];
      run("skopeo", ...copy, "oci:img:v1", `docker://${reference}`);
      await puller.pull(reference, bundle(format));
      expect(namesIn(inRoot("", format))).toEqual(["d", "ping"]);
      expect(sys.lgetxattr(inRoot("ping", format), "security.capability")).toEqual(capability);
    }
  });
});

describe("the layer store", () => {
  it("fetches a layer once for all who want it at the same time, and never again", async () => {
    const image = await pushImage(registry, "test/once:v1", { layers: [small("a", "once"), small("b", "once")] });
    const { address, asked } = await counted();
    const puller = await open({ registries: plain(address) });
    const reference = `${address}/test/once:v1`;
    const names = ["1", "2", "3", "4"];
    await Promise.all(names.map(async (name) => await puller.pull(reference, bundle(name))));
    await puller.pull(reference, bundle("5"));
    for (const layer of image.layerDigests) {
      expect(asked.filter((path) => path.endsWith(`blobs/${layer}`))).toHaveLength(1);
    }
    expect(readdirSync(join(dir, "image/layers"))).toHaveLength(2);
    writeFileSync(inRoot("a", "1"), "changed");
    expect(readFileSync(inRoot("a", "2"), "utf8")).toBe("once");
  });

  it("serves the next process, and removes what the last one left half done", async () => {
    const image = await pushImage(registry, "test/again:v1", { layers: [small("again")] });
    const { address, asked } = await counted();
    const reference = `${address}/test/again:v1`;
    const layer = image.layerDigests[0] ?? "";
    const fetches = (): number => asked.filter((path) => path.endsWith(`blobs/${layer}`)).length;
    await (await open({ registries: plain(address) })).pull(reference, bundle("1"));
    expect(fetches()).toBe(1);
    mkdirSync(join(dir, "image/tmp/half/files/deep"), { recursive: true });
    mkdirSync(join(dir, "image/overlays/orphan/upper"), { recursive: true });
    const puller = await open({ registries: plain(address) });
    expect(readdirSync(join(dir, "image/tmp"))).toEqual([]);
    expect(readdirSync(join(dir, "image/overlays"))).not.toContain("orphan");
    await puller.pull(reference, bundle("2"));
    expect(fetches()).toBe(1);
    expect(readFileSync(inRoot("again", "1"), "utf8")).toBe("again");
  });

  it("does not take a stored layer for one of another content", async () => {
    const puller = await open();
    const honest = await pushImage(registry, "test/liar:honest", { layers: [small("honest")] });
    await puller.pull(honest.reference, bundle("1"));
    // The same blob, but the image says that it is something else.
    const other = [sha256("other")];
    const liar = await pushImage(registry, "test/liar:liar", { layers: [small("honest")], diffIds: () => other });
    await expect(puller.pull(liar.reference, bundle("2"))).rejects.toThrow("unequal uncompressed digest");
  });

  it("frees what a container changed when somebody else removes its bundle", async () => {
    const image = await pushImage(registry, "test/free:v1", { layers: [small("free")] });
    const puller = await open();
    await puller.pull(image.reference, bundle());
    writeFileSync(inRoot("new"), Buffer.alloc(100_000));
    await sys.umount2(inRoot(""));
    rmSync(bundle(), { recursive: true });
    // The watch tells of it; how soon is the kernel's business.
    const overlays = join(dir, "image/overlays");
    await changed(overlays, () => readdirSync(overlays).length === 0);
    expect(readdirSync(join(dir, "image/layers"))).toHaveLength(1);
  });
});

describe("what must be refused leaves nothing behind", () => {
  const refused = async (image: string, why: string): Promise<void> => {
    const puller = await open();
    const failure = puller.pull(image, bundle());
    await expect(failure).rejects.toMatchObject({ code: "pull", message: expect.stringContaining(why) as string });
    await expect(failure).rejects.toThrow(
      `Failed to pull image ${image} from all mirror/mapping locations or original location: image: ${image}, error: `,
    );
    expect(leftovers()).toEqual([]);
  };

  it("an unknown image", async () => {
    const said = "envelope: OCI API errors: [OCI API error: manifest unknown]";
    await refused(`${registry.address}/nosuch:latest`, said);
  });

  it("an unreachable registry", async () => {
    const url = "https://127.0.0.1:1/v2/x/manifests/y";
    await refused("127.0.0.1:1/x:y", `failed to pull image manifest: error sending request for url (${url})`);
  });

  it("an image that is pinned to another digest", async () => {
    await pushImage(registry, "test/pin:v1", { layers: [small("pin")] });
    await refused(`${registry.address}/test/pin:v1@${sha256("other")}`, "manifest unknown");
  });

  it("no layers, and fewer than the configuration says", async () => {
    const none = await pushImage(registry, "test/bad:none", { layers: [] });
    await refused(none.reference, "an image without layers");
    const diffIds = (ids: string[]): string[] => [...ids, sha256("y")];
    const fewer = await pushImage(registry, "test/bad:fewer", { layers: [small("x")], diffIds });
    await refused(fewer.reference, "expected 2 layers, got 1");
  });

  it("a layer of another diff_id, though the other layers are good", async () => {
    const diffIds = ([first = ""]: string[]): string[] => [first, sha256("z")];
    const image = await pushImage(registry, "test/bad:diff", { layers: [small("bad-1"), small("bad-2")], diffIds });
    const puller = await open();
    await expect(puller.pull(image.reference, bundle())).rejects.toThrow("unequal uncompressed digest");
    expect(readdirSync(join(dir, "image/tmp"))).toEqual([]);
    expect(readdirSync(dir)).toEqual(["image"]);
  });

  it("a truncated layer", async () => {
    const blobs = (layer: Uint8Array): Uint8Array => gzipSync(layer).subarray(0, 60);
    const image = await pushImage(registry, "test/bad:cut", { layers: [small("cut")], blobs });
    await refused(image.reference, "failed to decompress the layer: unexpected end of file");
  });

  it("a layer shorter than the manifest says", async () => {
    const image = await pushImage(registry, "test/bad:short", {
      layers: [small("short")],
      manifest: (manifest) => {
        const [layer] = manifest["layers"] as [{ size: number }];
        return { ...manifest, layers: [{ ...layer, size: layer.size + 1 }] };
      },
    });
    await refused(image.reference, "bytes, got ");
  });

  it("a bomb", async () => {
    const zeros = tar([{ name: "zeros", data: Buffer.alloc(200 * 1024 * 1024) }]);
    const blobs = (layer: Uint8Array): Uint8Array => gzipSync(layer, { level: 9 });
    const image = await pushImage(registry, "test/bad:bomb", { layers: [zeros], blobs });
    await refused(image.reference, "layer grows to more than 200 times its size");
  });

  it("a path that leaves the root", async () => {
    const layers = [tar([{ name: "../../escape", data: "x" }])];
    const image = await pushImage(registry, "test/bad:escape", { layers });
    await refused(image.reference, 'member "../../escape" has a .. in its path');
  });

  it.each([
    ["application/vnd.oci.image.layer.v1.tar+gzip+encrypted", "encrypted layer"],
    ["application/vnd.oci.image.layer.v1.tar+lz4", "unhandled media type"],
  ])("a layer of type %s", async (mediaType, why) => {
    const image = await pushImage(registry, "test/bad:type", {
      layers: [small("type")],
      manifest: (manifest) => ({
        ...manifest,
        layers: (manifest["layers"] as object[]).map((layer) => Object.assign(layer, { mediaType })),
      }),
    });
    await refused(image.reference, why);
  });

  it("an image for another machine", async () => {
    const platform = { os: "linux", architecture: "s390x" };
    const image = await pushImage(registry, "test/bad:arch", { layers: [small("arch")], platform });
    await refused(image.reference, `image for linux/s390x, expected linux/${LINUX.architecture}`);
  });

  it("a full disk", async () => {
    const layers = [tar([{ name: "f", data: Buffer.alloc(4 * 1024 * 1024, "full") }])];
    const image = await pushImage(registry, "test/bad:full", { layers, compression: "none" });
    mkdirSync(join(dir, "image"));
    await sys.mount("tmpfs", join(dir, "image"), "tmpfs", 0, "size=1m");
    await refused(image.reference, "no space left for the image");
    // With room again the next request works.
    await sys.mount("tmpfs", join(dir, "image"), "tmpfs", 0x20, "size=64m");
    const puller = await open();
    await puller.pull(image.reference, bundle());
  });

  it("a bundle that is in use, by a container or by another pull", async () => {
    const image = await pushImage(registry, "test/used:v1", { layers: [small("used")] });
    const puller = await open();
    const both = [puller.pull(image.reference, bundle()), puller.pull(image.reference, bundle())];
    expect((await Promise.allSettled(both)).map(({ status }) => status).toSorted()).toEqual(["fulfilled", "rejected"]);
    await expect(puller.pull(image.reference, bundle())).rejects.toThrow("error: Failed to create bundle");
    expect(readFileSync(inRoot("used"), "utf8")).toBe("used");
  });

  it("a reference that is none", async () => {
    const puller = await open();
    for (const image of ["", "UPPER CASE"]) {
      await expect(puller.pull(image, bundle())).rejects.toMatchObject({
        code: "reference",
        message: expect.stringMatching(/^Illegal image reference/) as string,
      });
    }
    expect(leftovers()).toEqual([]);
  });

  it("an image directory that overlayfs could not name", async () => {
    for (const workDir of ["relative", join(dir, "a:b"), join(dir, "a,b")]) {
      await expect(open({ workDir })).rejects.toMatchObject({ code: "configuration" });
    }
  });
});

describe("mirrors", () => {
  it("are tried in order, and each failure is told", async () => {
    const image = await pushImage(registry, "test/mirrored:v1", { layers: [small("mirrored")] });
    const rules = (second: string): Partial<ImagePullerOptions> => ({
      registries: parseRegistryConfig({
        registry: [
          {
            prefix: "registry.example",
            location: "127.0.0.1:3",
            insecure: true,
            mirror: mirrors("127.0.0.1:1", second),
          },
        ],
      }),
    });
    const mirrors = (...all: string[]): object[] => all.map((location) => ({ location, insecure: true }));
    const asked = "registry.example/test/mirrored:v1";
    const pulled = await (await open(rules(registry.address))).pull(asked, bundle("1"));
    expect(pulled).toMatchObject({ reference: asked, manifestDigest: image.manifestDigest });
    const none = (await open(rules("127.0.0.1:2"))).pull(asked, bundle("2"));
    for (const place of ["127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3"]) {
      await expect(none).rejects.toThrow(`image: ${place}/test/mirrored:v1, error: `);
    }
  });
});

describe("an unpack thread that dies", () => {
  it("fails its layers and is replaced", async () => {
    const archive = tar([{ name: "f", data: Buffer.alloc(2 * 1024 * 1024, "x") }]);
    const plan = { compression: "none", digest: sha256(archive), diffId: sha256(archive) } as const;
    const own = new WorkerPool({ workerUrl: WORKER, workers: 1 });
    const halfway = async function* (): AsyncGenerator<Uint8Array> {
      yield Buffer.from(archive.subarray(0, 1024 * 1024));
      await own.close();
      yield Buffer.from(archive.subarray(1024 * 1024));
    };
    const [first, second] = ["1", "2"].map((name) => join(dir, name));
    mkdirSync(first ?? "");
    mkdirSync(second ?? "");
    await expect(own.unpack({ ...plan, directory: first ?? "" }, halfway())).rejects.toThrow("the unpack thread ended");
    const whole = async function* (): AsyncGenerator<Uint8Array> {
      yield Buffer.from(archive);
    };
    expect(await own.unpack({ ...plan, directory: second ?? "" }, whole())).toMatchObject({ entries: 1 });
    await own.close();
  });
});
