import { canonicalDigest } from "./digest.ts";
import { isObject, type JsonObject, optionalText, optionalTextMap, parseJsonObject } from "./document.ts";
import { OciError } from "./error.ts";
import { IMAGE_TYPES, INDEX_TYPES } from "./media-types.ts";

/** No manifest of a real image comes near this (design decision 6). */
export const MAX_MANIFEST: number = 4 * 1024 * 1024;
/** overlayfs stacks at most 500 lower layers. */
export const MAX_LAYERS = 500;

/** What a document says of a blob: the size and digest are held against what is received. */
export interface Descriptor {
  readonly mediaType: string;
  readonly digest: string;
  /** Bytes. */
  readonly size: number;
  readonly annotations: Readonly<Record<string, string>>;
}

export interface Platform {
  readonly os: string;
  readonly architecture: string;
}

export interface ImageManifest {
  readonly kind: "image";
  readonly config: Descriptor;
  /** Lowest layer first. */
  readonly layers: readonly Descriptor[];
}

export interface ImageIndex {
  readonly kind: "index";
  readonly manifests: readonly (Descriptor & { readonly platform?: Platform })[];
}

/**
 * Parses an image manifest or an index, OCI or Docker schema 2.
 *
 * One document must have one meaning: with the members of both kinds, or with a media type (its own or the
 * `Content-Type` it came with) of the other kind, it is refused, because two readers could take it for two images.
 *
 * @throws OciError `document`
 */
export function parseManifest(bytes: Uint8Array, contentType?: string): ImageManifest | ImageIndex {
  const document = parseJsonObject("manifest", bytes);
  const version = document["schemaVersion"];
  if (version !== 2) {
    throw new OciError(
      "document",
      `manifest: expected schemaVersion 2, got ${typeof version === "number" ? version : typeof version}`,
    );
  }
  const isImage = "config" in document || "layers" in document;
  const isIndex = "manifests" in document;
  if (isImage && isIndex) throw new OciError("document", "manifest: ambiguous, members of an image and of an index");
  if (!isImage && !isIndex) throw new OciError("document", "manifest: neither an image nor an index");
  const kind = isIndex ? "index" : "image";
  const declared = optionalText("manifest", document, "mediaType");
  if (declared !== undefined && kindOf(declared) !== kind) {
    throw new OciError("document", `manifest: ambiguous, an ${kind} with media type ${JSON.stringify(declared)}`);
  }
  const received = contentType?.split(";")[0]?.trim();
  const receivedKind = received === undefined ? undefined : kindOf(received);
  if (receivedKind !== undefined && receivedKind !== kind) {
    throw new OciError("document", `manifest: ambiguous, an ${kind} with content type ${JSON.stringify(received)}`);
  }
  return kind === "index" ? parseIndex(document) : parseImage(document);
}

/**
 * The entry of an index to run: the first one whose platform is the wanted one (variants are not compared).
 *
 * @throws OciError `platform` when there is none.
 */
export function selectPlatform(index: ImageIndex, wanted: Platform): Descriptor {
  const found = index.manifests.find(
    ({ platform }) => platform?.os === wanted.os && platform.architecture === wanted.architecture,
  );
  if (found === undefined) {
    const offered = index.manifests.map(({ platform }) => (platform ? `${platform.os}/${platform.architecture}` : "?"));
    throw new OciError(
      "platform",
      `no image for ${wanted.os}/${wanted.architecture} in the index, which has ${offered.slice(0, 20).join(", ") || "none"}`,
    );
  }
  return found;
}

function kindOf(mediaType: string): "image" | "index" | undefined {
  if ((IMAGE_TYPES as readonly string[]).includes(mediaType)) return "image";
  if ((INDEX_TYPES as readonly string[]).includes(mediaType)) return "index";
  return undefined;
}

function parseImage(document: JsonObject): ImageManifest {
  const layers = list(document, "layers").map((layer, index) => parseDescriptor(`layer ${index}`, layer));
  if (layers.length > MAX_LAYERS) {
    throw new OciError("document", `manifest: ${layers.length} layers, at most ${MAX_LAYERS}`);
  }
  return { kind: "image", config: parseDescriptor("config", document["config"]), layers };
}

function parseIndex(document: JsonObject): ImageIndex {
  return {
    kind: "index",
    manifests: list(document, "manifests").map((entry, index) => {
      const what = `entry ${index}`;
      const descriptor = parseDescriptor(what, entry);
      const platform = isObject(entry) ? entry["platform"] : undefined;
      if (!isObject(platform)) return descriptor;
      return {
        ...descriptor,
        platform: {
          os: optionalText(what, platform, "os") ?? "",
          architecture: optionalText(what, platform, "architecture") ?? "",
        },
      };
    }),
  };
}

function list(document: JsonObject, key: string): readonly unknown[] {
  const value = document[key];
  if (!Array.isArray(value)) throw new OciError("document", `manifest: ${key} is not a list`);
  return value;
}

function parseDescriptor(what: string, value: unknown): Descriptor {
  if (!isObject(value)) throw new OciError("document", `manifest: ${what} is not a descriptor`);
  const size = value["size"];
  if (typeof size !== "number" || !Number.isSafeInteger(size) || size < 0) {
    throw new OciError("document", `manifest: ${what}: size is not a number of bytes`);
  }
  return {
    mediaType: optionalText(what, value, "mediaType") ?? "",
    digest: canonicalDigest(optionalText(what, value, "digest") ?? ""),
    size,
    annotations: optionalTextMap(what, value, "annotations"),
  };
}
