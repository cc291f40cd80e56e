import { NodeHttp, systemClock } from "@nacre/image-puller";
import {
  expandReference,
  type ImageConfig,
  parseReference,
  type Platform,
  RepositoryClient,
  type ResolvedImage,
} from "oci-client";

import { NacreError } from "./error.ts";
import type { GuestRegistries } from "./guest-registries.ts";

/** GOARCH names of the processors that Node runs on. */
const ARCHITECTURES: Readonly<Record<string, string>> = { x64: "amd64", ia32: "386" };

/** An image as a registry has it. */
export interface RegistryImage extends ResolvedImage {
  readonly client: RepositoryClient;
  readonly config: ImageConfig;
}

/** This machine's platform. */
export const PLATFORM: Platform = { os: "linux", architecture: ARCHITECTURES[process.arch] ?? process.arch };

/** What a name stands for, looked for where a guest will look. Throws NacreError. */
export async function resolveImage(
  reference: string,
  registries: GuestRegistries,
  { platform = PLATFORM, signal }: { readonly platform?: Platform; readonly signal?: AbortSignal | undefined } = {},
): Promise<RegistryImage> {
  const http = new NodeHttp({ extraRoots: registries.extraRoots });
  const failures: unknown[] = [];
  for (const source of sources(reference, registries)) {
    try {
      const client = new RepositoryClient(source.reference, {
        http,
        clock: systemClock,
        insecure: source.insecure,
        credentials: registries.credentials?.find(source.reference),
      });
      const resolved = await client.resolve(platform, signal);
      return { ...resolved, client, config: await client.config(resolved.manifest.config, signal) };
    } catch (error) {
      signal?.throwIfAborted();
      failures.push(error);
    }
  }
  // The first place is the one that was meant; the others are its stand-ins.
  throw new NacreError("input", `image ${reference}`, { cause: failures[0] });
}

/**
 * Reads an image's configuration from its registry, as a runtime on the host does: the guest merges none. The reference is
 * looked for where the guest will look. Throws NacreError.
 */
export async function readImageConfig(
  reference: string,
  registries: GuestRegistries,
  signal?: AbortSignal,
): Promise<ImageConfig> {
  return (await resolveImage(reference, registries, { signal })).config;
}

function sources(reference: string, { rules }: GuestRegistries): ReturnType<typeof expandReference> {
  try {
    return expandReference(rules, parseReference(reference));
  } catch (cause) {
    throw new NacreError("usage", `image ${reference}`, { cause });
  }
}
