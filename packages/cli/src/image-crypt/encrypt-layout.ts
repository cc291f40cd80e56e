import { createHash, randomBytes } from "node:crypto";
import {
  copyFileSync,
  createReadStream,
  createWriteStream,
  mkdirSync,
  readFileSync,
  renameSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";

import {
  encryptedMediaType,
  encryptLayer,
  formatPrivateOptions,
  formatPublicOptions,
  KEYS_ANNOTATION,
  PUBLIC_OPTIONS_ANNOTATION,
} from "@nacre/ocicrypt";

import { NacreError } from "../error.ts";
import { type LayerKey, wrapOptions } from "./key.ts";

const MANIFEST = "application/vnd.oci.image.manifest.v1+json";
const DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json";
const DIGEST = /^sha256:[0-9a-f]{64}$/u;
/** Of an index or a manifest. */
const MAX_JSON: number = 4 * 1024 * 1024;

interface Descriptor {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
  readonly annotations?: Readonly<Record<string, string>>;
}

interface Manifest {
  readonly config: Descriptor;
  readonly layers: readonly Descriptor[];
}

/**
 * Writes an OCI layout whose images are those of another with all layers encrypted: each with a key of its own, which
 * `key` wraps. Resolves with the manifests' digests. Rejects with NacreError `input`.
 */
export async function encryptLayout(from: string, to: string, key: LayerKey): Promise<readonly string[]> {
  const index = parse(join(from, "index.json")) as { readonly manifests?: readonly Descriptor[] };
  if (index.manifests === undefined || index.manifests.length === 0) throw bad(`${from}: expected an OCI layout`);
  mkdirSync(join(to, "blobs/sha256"), { recursive: true });
  const manifests: Descriptor[] = [];
  for (const descriptor of index.manifests) {
    if (descriptor.mediaType !== MANIFEST && descriptor.mediaType !== DOCKER_MANIFEST) {
      throw bad(`${from}: expected manifests in its index, got ${descriptor.mediaType}`);
    }
    const manifest = parse(blob(from, descriptor.digest)) as Manifest;
    const layers: Descriptor[] = [];
    for (const layer of manifest.layers) layers.push(await encrypted(from, to, layer, key));
    copyFileSync(blob(from, manifest.config.digest), blob(to, manifest.config.digest));
    const config = { ...manifest.config, mediaType: "application/vnd.oci.image.config.v1+json" };
    const text = JSON.stringify({ ...manifest, mediaType: MANIFEST, config, layers });
    const digest = `sha256:${createHash("sha256").update(text).digest("hex")}`;
    writeFileSync(blob(to, digest), text);
    manifests.push({ ...descriptor, mediaType: MANIFEST, digest, size: Buffer.byteLength(text) });
  }
  writeFileSync(join(to, "oci-layout"), '{"imageLayoutVersion":"1.0.0"}');
  writeFileSync(join(to, "index.json"), JSON.stringify({ ...index, manifests }));
  return manifests.map(({ digest }) => digest);
}

async function encrypted(from: string, to: string, layer: Descriptor, key: LayerKey): Promise<Descriptor> {
  const mediaType = encryptedMediaType(layer.mediaType);
  if (mediaType === undefined)
    throw bad(`layer ${layer.digest}: expected one that is not encrypted, got ${layer.mediaType}`);
  const secret = { key: randomBytes(32), nonce: randomBytes(16), digest: layer.digest };
  const options = formatPrivateOptions(secret);
  const encryption = encryptLayer(secret);
  const [plain, cipher] = [createHash("sha256"), createHash("sha256")];
  const part = join(to, "blobs/sha256", `.${layer.digest.slice("sha256:".length)}.part`);
  let size = 0;
  try {
    await pipeline(
      createReadStream(blob(from, layer.digest)),
      async function* (chunks: AsyncIterable<Buffer>) {
        for await (const chunk of chunks) {
          plain.update(chunk);
          const data = encryption.update(chunk);
          cipher.update(data);
          size += data.length;
          yield data;
        }
      },
      createWriteStream(part),
    );
    const hmac = encryption.finish();
    if (`sha256:${plain.digest("hex")}` !== layer.digest) throw bad(`layer ${layer.digest}: its content is another`);
    const digest = `sha256:${cipher.digest("hex")}`;
    renameSync(part, blob(to, digest));
    const encoded = (text: string): string => Buffer.from(text).toString("base64");
    const annotations = {
      ...layer.annotations,
      [KEYS_ANNOTATION]: encoded(wrapOptions(key, options)),
      [PUBLIC_OPTIONS_ANNOTATION]: encoded(formatPublicOptions(hmac)),
    };
    return { ...layer, mediaType, digest, size, annotations };
  } finally {
    for (const bytes of [secret.key, secret.nonce, options]) bytes.fill(0);
  }
}

function blob(layout: string, digest: unknown): string {
  if (typeof digest !== "string" || !DIGEST.test(digest)) throw bad("expected a digest of SHA-256");
  return join(layout, "blobs/sha256", digest.slice("sha256:".length));
}

function parse(path: string): unknown {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (cause) {
    throw new NacreError("input", `${path} cannot be read`, { cause });
  }
  if (text.length > MAX_JSON) throw bad(`${path}: expected at most ${MAX_JSON} characters`);
  try {
    return JSON.parse(text) as unknown;
  } catch {
    throw bad(`${path}: expected JSON`);
  }
}

function bad(message: string): NacreError {
  return new NacreError("input", message);
}
