import { type image, stringifyLossless } from "@nacre/protocols";

/** What the guest pulled for a container: the input of the rule PulledImageRequest (design decision 3). */
export interface PulledImage {
  readonly container_id: string;
  /** The reference that the host asked for. */
  readonly image: string;
  /** Of the index that the reference named; null where it named none, or the hub did not say. */
  readonly index_digest: string | null;
  readonly manifest_digest: string;
  /** Null where the hub did not say. */
  readonly config_digest: string | null;
  /** Digests of the unpacked layers, lowest first; empty where the hub did not say. */
  readonly diff_ids: readonly string[];
}

/** A hub that knows only upstream's reply says the manifest's digest alone. */
export function pulledImage(containerId: string, reference: string, reply: image.ImagePullResponse): PulledImage {
  return {
    container_id: containerId,
    image: reference,
    index_digest: reply.index_digest,
    manifest_digest: reply.manifest_digest,
    config_digest: reply.config_digest,
    diff_ids: reply.diff_ids,
  };
}

export function pulledImageInput(pulled: PulledImage): string {
  return stringifyLossless({ ...pulled });
}
