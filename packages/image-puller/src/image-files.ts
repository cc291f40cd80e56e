import { type Descriptor, layerEncoding } from "oci-client";
import { PullError } from "./error.ts";
import type { TarHeader } from "./tar/header.ts";
import type { TarHandler } from "./tar/parser.ts";
import { LayerReader } from "./unpack/layer-reader.ts";
import { joinName, parseMemberName, quoteName } from "./unpack/member-name.ts";

/** Account files of large systems are below this. */
export const MAX_FILE: number = 4 * 1024 * 1024;
/** The kernel follows forty links. */
const MAX_LINKS = 40;
const WHITEOUT = ".wh.";
const OPAQUE = ".wh..wh..opq";

/** The layers of an image, lowest first, and what they are once unpacked. */
export interface ImageLayers {
  readonly layers: readonly Descriptor[];
  readonly diffIds: readonly string[];
}

/** Reads blobs of the image's repository, as `RepositoryClient` does. */
export interface BlobSource {
  blob(descriptor: Descriptor, signal?: AbortSignal): AsyncIterable<Uint8Array>;
}

/**
 * A few files of an image, by their paths from the root (`etc/passwd`), without unpacking it: layers are read from the top
 * down until each is found or known to be missing, and every layer that is read is held against both its digests. Links
 * are followed where the file itself is one.
 *
 * @throws PullError `unsupported` for an encrypted layer, or a path that leads through a link; OciError.
 */
export async function readImageFiles(
  source: BlobSource,
  image: ImageLayers,
  paths: readonly string[],
  signal?: AbortSignal,
): Promise<ReadonlyMap<string, Buffer>> {
  if (image.layers.length !== image.diffIds.length) {
    throw new PullError("digest", `expected ${image.diffIds.length} layers, got ${image.layers.length}`);
  }
  const files = new Map<string, Buffer>();
  let asked = new Map(paths.map((path) => [path, path]));
  for (let followed = 0; asked.size > 0; followed += 1) {
    if (followed > MAX_LINKS)
      throw new PullError("unsafe", `more than ${MAX_LINKS} links to ${[...asked.keys()].join()}`);
    const found = await findFiles(source, image, [...new Set(asked.values())], signal);
    const next = new Map<string, string>();
    for (const [path, at] of asked) {
      const what = found.get(at);
      if (typeof what === "string") next.set(path, what);
      else if (what !== undefined) files.set(path, what);
    }
    asked = next;
  }
  return files;
}

/** Contents, or where a link leads. */
type Found = Buffer | string;

async function findFiles(
  source: BlobSource,
  { layers, diffIds }: ImageLayers,
  paths: readonly string[],
  signal: AbortSignal | undefined,
): Promise<ReadonlyMap<string, Found>> {
  const found = new Map<string, Found>();
  let left = new Set(paths);
  for (let i = layers.length - 1; i >= 0 && left.size > 0; i -= 1) {
    const layer = layers[i];
    if (layer === undefined) break;
    const { compression, encrypted } = layerEncoding(layer.mediaType);
    if (encrypted) throw new PullError("unsupported", "an encrypted layer cannot be looked into");
    const search = new Search(left);
    const reader = new LayerReader({ compression, digest: layer.digest, diffId: diffIds[i] ?? "" }, search);
    try {
      for await (const chunk of source.blob(layer, signal))
        await reader.feed(Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length));
      await reader.finish();
    } finally {
      reader.close();
    }
    for (const [path, what] of search.found) found.set(path, what);
    left = new Set([...left].filter((path) => !search.found.has(path) && !search.hides(path)));
  }
  return found;
}

/** Looks for files among the members of one layer. */
class Search implements TarHandler {
  readonly found = new Map<string, Found>();
  readonly #paths: ReadonlySet<string>;
  readonly #folders: ReadonlySet<string>;
  /** Paths and folders of which this layer hides what is below. */
  readonly #hidden = new Set<string>();
  #reading: { readonly path: string; readonly chunks: Buffer[] } | undefined;

  constructor(paths: ReadonlySet<string>) {
    this.#paths = paths;
    this.#folders = new Set([...paths].flatMap(foldersOf));
  }

  /** Whether lower layers have nothing to say about the path. */
  hides(path: string): boolean {
    return [path, ...foldersOf(path), ""].some((above) => this.#hidden.has(above));
  }

  entry(header: TarHeader): void {
    const name = parseMemberName("member", header.name);
    if (name.base === OPAQUE) this.#hidden.add(name.parent);
    else if (name.base.startsWith(WHITEOUT)) {
      this.#hidden.add(joinName({ ...name, base: name.base.slice(WHITEOUT.length) }));
    }
    const path = joinName(name);
    if (this.#folders.has(path) && header.type !== "5") {
      throw new PullError("unsupported", `${quoteName(path)} is no folder of the image's, but leads elsewhere`);
    }
    if (!this.#paths.has(path)) return;
    this.found.delete(path);
    if (header.type === "0" || header.type === "7") {
      if (header.size > MAX_FILE) {
        throw new PullError("limit", `${quoteName(path)}: ${header.size} bytes, at most ${MAX_FILE}`);
      }
      this.#reading = { path, chunks: [] };
    } else if (header.type === "1" || header.type === "2") {
      this.found.set(path, linkTarget(header, name.parent));
    } else {
      this.#hidden.add(path);
    }
  }

  data(chunk: Uint8Array): void {
    // It is valid during the call only.
    this.#reading?.chunks.push(Buffer.from(chunk));
  }

  end(): void {
    if (this.#reading !== undefined) this.found.set(this.#reading.path, Buffer.concat(this.#reading.chunks));
    this.#reading = undefined;
  }
}

function foldersOf(path: string): readonly string[] {
  const parts = path.split("/");
  return parts.slice(1).map((_, i) => parts.slice(0, i + 1).join("/"));
}

/** Where a link leads, from the root; `..` at the root stays there, as in a container. */
function linkTarget({ type, link }: TarHeader, parent: string): string {
  const parts = type === "1" || link.startsWith("/") ? [] : parent.split("/").filter((part) => part !== "");
  for (const part of link.split("/")) {
    if (part === "..") parts.pop();
    else if (part !== "" && part !== ".") parts.push(part);
  }
  return parts.join("/");
}
