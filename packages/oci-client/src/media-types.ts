import { OciError } from "./error.ts";

export const IMAGE_TYPES = [
  "application/vnd.docker.distribution.manifest.v2+json",
  "application/vnd.oci.image.manifest.v1+json",
] as const;
export const INDEX_TYPES = [
  "application/vnd.docker.distribution.manifest.list.v2+json",
  "application/vnd.oci.image.index.v1+json",
] as const;

/** The `Accept` header of a manifest request. */
export const ACCEPT: string = [IMAGE_TYPES[0], INDEX_TYPES[0], IMAGE_TYPES[1], INDEX_TYPES[1]].join(", ");

export type Compression = "none" | "gzip" | "zstd";

/** How the bytes of a layer blob become a tar archive. */
export interface LayerEncoding {
  readonly compression: Compression;
  readonly encrypted: boolean;
}

const OCI_LAYER =
  /^application\/vnd\.oci\.image\.layer\.(?:nondistributable\.)?v1\.tar(?:\+(gzip|zstd))?(\+encrypted)?$/;
const DOCKER_LAYER = /^application\/vnd\.docker\.image\.rootfs\.(?:foreign\.)?diff\.tar(?:\.(gzip|zstd))?$/;

/** @throws OciError `document` for a media type that is no layer. */
export function layerEncoding(mediaType: string): LayerEncoding {
  const oci = OCI_LAYER.exec(mediaType);
  const match = oci ?? DOCKER_LAYER.exec(mediaType);
  if (match === null) throw new OciError("document", `unhandled media type: ${JSON.stringify(mediaType)}`);
  return {
    compression: (match[1] as Compression | undefined) ?? "none",
    encrypted: oci?.[2] !== undefined,
  };
}
