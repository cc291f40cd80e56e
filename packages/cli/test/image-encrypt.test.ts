import { createHash } from "node:crypto";
import { EventEmitter } from "node:events";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough } from "node:stream";

import {
  decryptLayer,
  isBrokerPacket,
  KEYS_ANNOTATION,
  parsePacket,
  parsePrivateOptions,
  parsePublicOptions,
  PUBLIC_OPTIONS_ANNOTATION,
  unwrap,
} from "@nacre/ocicrypt";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { COMMANDS } from "../src/commands/index.ts";
import { parseLayerKeyOptions } from "../src/image-crypt/key.ts";
import { Interrupts } from "../src/interrupts.ts";
import { nacre } from "../src/nacre.ts";

const LAYER = "application/vnd.oci.image.layer.v1.tar+gzip";
const MANIFEST = "application/vnd.oci.image.manifest.v1+json";

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "nacre-image-"));
  mkdirSync(join(dir, "from/blobs/sha256"), { recursive: true });
});
afterEach(() => rmSync(dir, { recursive: true }));

function put(content: string): { digest: string; size: number } {
  const hex = createHash("sha256").update(content).digest("hex");
  writeFileSync(join(dir, "from/blobs/sha256", hex), content);
  return { digest: `sha256:${hex}`, size: content.length };
}

/** A layout of one image, its layers as they are given. */
function layout(layers: readonly object[]): void {
  const config = { mediaType: "application/vnd.oci.image.config.v1+json", ...put("{}") };
  const manifest = put(JSON.stringify({ schemaVersion: 2, mediaType: MANIFEST, config, layers }));
  writeFileSync(
    join(dir, "from/index.json"),
    JSON.stringify({ schemaVersion: 2, manifests: [{ mediaType: MANIFEST, ...manifest }] }),
  );
}

async function encrypt(...flags: readonly string[]): Promise<readonly [status: number, out: string, err: string]> {
  const [stdin, stdout, stderr] = [new PassThrough(), new PassThrough(), new PassThrough()];
  const streams = { stdin, stdout, stderr } as unknown as Pick<
    Parameters<typeof nacre>[2],
    "stdin" | "stdout" | "stderr"
  >;
  const argv = ["image", "encrypt", join(dir, "from"), join(dir, "to"), ...flags];
  const status = await nacre(COMMANDS, argv, { ...streams, env: {}, interrupts: new Interrupts(new EventEmitter()) });
  const read = (stream: PassThrough): string => String(stream.read() ?? "");
  return [status, read(stdout), read(stderr)];
}

describe("nacre image encrypt", () => {
  it("encrypts each layer with a key of its own, which the named key wraps", async () => {
    layout([
      { mediaType: LAYER, ...put("one layer") },
      { mediaType: LAYER, ...put("another"), annotations: { a: "b" } },
    ]);
    const key = join(dir, "key");
    const [status, out] = await encrypt("--kid", "kbs:///a/b/c", "--key-out", key, "--json");
    expect(status).toBe(0);
    expect(statSync(key).mode & 0o777).toBe(0o600);
    const { kid, digests } = JSON.parse(out) as { kid: string; digests: string[] };
    expect(kid).toBe("kbs:///a/b/c");
    const blob = (digest: string): Buffer => readFileSync(join(dir, "to/blobs/sha256", digest.slice("sha256:".length)));
    const manifest = JSON.parse(blob(digests[0] ?? "").toString()) as {
      layers: { mediaType: string; digest: string; size: number; annotations: Record<string, string> }[];
    };
    const plain = manifest.layers.map(({ mediaType, digest, size, annotations }) => {
      expect(mediaType).toBe(`${LAYER}+encrypted`);
      const text = (name: string): string => Buffer.from(annotations[name] ?? "", "base64").toString();
      const packet = parsePacket(text(KEYS_ANNOTATION));
      if (!isBrokerPacket(packet)) throw new Error("expected a packet of the broker");
      const options = parsePrivateOptions(unwrap(packet.wrapped, readFileSync(key)));
      const decryption = decryptLayer(options, parsePublicOptions(text(PUBLIC_OPTIONS_ANNOTATION)));
      expect(blob(digest).length).toBe(size);
      const out = decryption.update(blob(digest)).toString();
      decryption.finish();
      return out;
    });
    expect(plain).toEqual(["one layer", "another"]);
    expect(manifest.layers[1]?.annotations["a"]).toBe("b");
    // A key is not overwritten, and an encrypted layer not encrypted again.
    expect((await encrypt("--kid", "kbs:///a/b/c", "--key-out", key))[2]).toContain("the key cannot be written");
    layout([{ mediaType: `${LAYER}+encrypted`, ...put("x") }]);
    expect((await encrypt("--key-path", key))[2]).toContain("expected one that is not encrypted");
  });

  it.each<[string, readonly string[], string]>([
    ["nobody would have the key", [], "expected --kbs, --key-path or --key-out"],
    ["a name that is none", ["--key-out", "/nonexistent/k", "--kid", "x"], "expected a key's name"],
    ["an algorithm that is none", ["--key-out", "/nonexistent/k", "--algorithm", "x"], "A256GCM or A256CTR"],
    ["a key that cannot be written", ["--key-out", "/nonexistent/k"], "the key cannot be written"],
    ["a broker without a token", ["--kbs", "http://b.test"], "--admin-token-file"],
  ])("refuses %s", async (_, flags, why) => {
    layout([]);
    const [status, , err] = await encrypt(...flags);
    expect(status).not.toBe(0);
    expect(err).toContain(why);
  });

  it("refuses a key of another size, a layout that is none, and paths in place of digests", async () => {
    writeFileSync(join(dir, "short"), "short");
    writeFileSync(join(dir, "key"), Buffer.alloc(32));
    const key = ["--key-path", join(dir, "key")];
    layout([]);
    expect((await encrypt("--key-path", join(dir, "short")))[2]).toContain("expected 32 bytes, got 5");
    writeFileSync(join(dir, "from/index.json"), "{}");
    expect((await encrypt(...key))[2]).toContain("expected an OCI layout");
    layout([{ mediaType: LAYER, digest: "../../../../etc/passwd", size: 1 }]);
    expect((await encrypt(...key))[2]).toContain("expected a digest of SHA-256");
    layout([{ mediaType: LAYER, ...put("x") }]);
    writeFileSync(join(dir, "from/blobs/sha256", put("x").digest.slice("sha256:".length)), "y");
    expect((await encrypt(...key))[2]).toContain("its content is another");
  });
});

describe("parameters of a key provider", () => {
  it("are read, and others refused", () => {
    expect(parseLayerKeyOptions("keyid=kbs:///a/b/c::keypath=/k=1::algorithm=A256CTR")).toEqual({
      keyid: "kbs:///a/b/c",
      keypath: "/k=1",
      algorithm: "A256CTR",
    });
    expect(parseLayerKeyOptions("")).toEqual({});
    for (const text of ["sample=true", "keyid", "=x"])
      expect(() => parseLayerKeyOptions(text)).toThrow("expected keyid=");
  });
});
