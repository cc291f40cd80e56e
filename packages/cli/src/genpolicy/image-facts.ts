import type { ImageFacts } from "@nacre/genpolicy";
import { readImageFiles } from "@nacre/image-puller";
import { formatReference, layerEncoding, parseReference, type Platform } from "oci-client";

import { NacreError } from "../error.ts";
import type { GuestRegistries } from "../guest-registries.ts";
import { type RegistryImage, resolveImage } from "../image.ts";

const PASSWD = "etc/passwd";
const GROUP = "etc/group";

export interface ImageFactsOptions {
  readonly registries: GuestRegistries;
  /** Default: this machine's. */
  readonly platform?: Platform | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Told before the layers of an image are read, which may take a while. */
  readonly onLayers?: (reference: string, bytes: number) => void;
}

/** Reads what a policy needs to know of an image from its registry: digests, configuration, accounts. Throws NacreError. */
export async function readImageFacts(reference: string, options: ImageFactsOptions): Promise<ImageFacts> {
  const { registries, platform, signal } = options;
  const image = await resolveImage(reference, registries, { ...(platform === undefined ? {} : { platform }), signal });
  const { config } = image;
  const files = await accountFiles(reference, image, options);
  return {
    names: names(reference),
    manifestDigests: [image.manifestDigest],
    entrypoint: config.entrypoint,
    cmd: config.cmd,
    env: config.env,
    workingDir: config.workingDir,
    user: config.user,
    stopSignal: config.stopSignal,
    volumes: config.volumes,
    passwd: files.get(PASSWD)?.toString(),
    group: files.get(GROUP)?.toString(),
  };
}

async function accountFiles(
  reference: string,
  { client, config, manifest }: RegistryImage,
  { signal, onLayers }: ImageFactsOptions,
): Promise<ReadonlyMap<string, Buffer>> {
  const { layers } = manifest;
  try {
    // Neither the host nor we can look into those: users are the numbers that they are.
    if (layers.some(({ mediaType }) => layerEncoding(mediaType).encrypted)) return new Map();
    onLayers?.(
      reference,
      layers.reduce((sum, { size }) => sum + size, 0),
    );
    return await readImageFiles(client, { layers, diffIds: config.diffIds }, [PASSWD, GROUP], signal);
  } catch (cause) {
    signal?.throwIfAborted();
    throw new NacreError("input", `image ${reference}: its accounts cannot be read`, { cause });
  }
}

/** As containerd passes it on: complete, and without a tag beside a digest; and as it was written. */
function names(reference: string): readonly string[] {
  const { tag, digest, ...name } = parseReference(reference);
  const complete = formatReference({
    ...name,
    ...(digest === undefined ? {} : { digest }),
    ...(tag === undefined || digest !== undefined ? {} : { tag }),
  });
  return [...new Set([complete, reference])];
}
