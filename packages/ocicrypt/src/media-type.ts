const SUFFIX = "+encrypted";

/** Layers that may be encrypted, by their media type before. */
const DOCKER = "application/vnd.docker.image.rootfs.diff.tar.gzip";
const OCI = /^application\/vnd\.oci\.image\.layer\.(?:nondistributable\.)?v1\.tar(?:\+gzip|\+zstd)?$/u;

export function isEncrypted(mediaType: string): boolean {
  return mediaType.endsWith(SUFFIX);
}

/** Undefined for what is no layer, or encrypted already. */
export function encryptedMediaType(mediaType: string): string | undefined {
  const oci = mediaType === DOCKER ? "application/vnd.oci.image.layer.v1.tar+gzip" : mediaType;
  return OCI.test(oci) ? `${oci}${SUFFIX}` : undefined;
}

/** The layer's type before it was encrypted. */
export function decryptedMediaType(mediaType: string): string {
  return isEncrypted(mediaType) ? mediaType.slice(0, -SUFFIX.length) : mediaType;
}
