import { Authenticator } from "./auth.ts";
import { readAll } from "./body.ts";
import type { Credentials } from "./credentials.ts";
import { digestOf, verifyDigest } from "./digest.ts";
import { OciError } from "./error.ts";
import type { Clock, Http, HttpResponse } from "./http.ts";
import { type ImageConfig, MAX_CONFIG, parseImageConfig } from "./image-config.ts";
import {
  type Descriptor,
  type ImageManifest,
  MAX_MANIFEST,
  parseManifest,
  type Platform,
  selectPlatform,
} from "./manifest.ts";
import { ACCEPT } from "./media-types.ts";
import { networkHost, type Reference } from "./reference.ts";
import { Attempts, DEFAULT_RETRY, type RetryPolicy } from "./retry.ts";
import { Transfer } from "./transfer.ts";

export interface RegistryClientOptions {
  readonly http: Http;
  readonly clock: Clock;
  /** Plain HTTP instead of TLS. Default false. */
  readonly insecure?: boolean;
  readonly credentials?: Credentials | undefined;
  readonly retry?: RetryPolicy;
}

/** What a reference stands for on one platform; every document has been held against its digest. */
export interface ResolvedImage {
  /** The digest of the index that was asked for, when it was one. */
  readonly indexDigest?: string;
  readonly manifestDigest: string;
  readonly manifest: ImageManifest;
}

/** Reads one repository of one registry. */
export class RepositoryClient {
  readonly #base: URL;
  readonly #reference: Reference;
  readonly #transfer: Transfer;
  readonly #clock: Clock;
  readonly #retry: RetryPolicy;

  constructor(reference: Reference, options: RegistryClientOptions) {
    const scheme = options.insecure === true ? "http" : "https";
    this.#base = new URL(`${scheme}://${networkHost(reference.registry)}/v2/${reference.repository}/`);
    this.#reference = reference;
    this.#clock = options.clock;
    this.#retry = options.retry ?? DEFAULT_RETRY;
    const auth = new Authenticator(options.http, options.clock, reference.repository, options.credentials);
    this.#transfer = new Transfer(options.http, options.clock, auth);
  }

  /**
   * Finds the image manifest for a platform, through an index if there is one.
   *
   * @throws OciError
   */
  async resolve(platform: Platform, signal?: AbortSignal): Promise<ResolvedImage> {
    const { tag, digest } = this.#reference;
    const asked = await this.#manifest(digest ?? tag ?? "latest", digest, signal);
    if (asked.manifest.kind === "image") return { manifestDigest: asked.digest, manifest: asked.manifest };
    const entry = selectPlatform(asked.manifest, platform);
    const child = await this.#manifest(entry.digest, entry.digest, signal, entry.size);
    if (child.manifest.kind === "index") throw new OciError("document", "manifest: an index inside an index");
    return { indexDigest: asked.digest, manifestDigest: child.digest, manifest: child.manifest };
  }

  /**
   * The image manifest under another tag of the repository; undefined where there is no such tag.
   *
   * @throws OciError `document` for an index
   */
  async tagged(tag: string, signal?: AbortSignal): Promise<ImageManifest | undefined> {
    try {
      const { manifest } = await this.#manifest(tag, undefined, signal);
      if (manifest.kind === "image") return manifest;
    } catch (error) {
      if (error instanceof OciError && error.code === "not-found") return undefined;
      throw error;
    }
    throw new OciError("document", `manifest ${tag}: expected an image, got an index`);
  }

  /** Fetches and checks the image configuration. @throws OciError */
  async config(descriptor: Descriptor, signal?: AbortSignal): Promise<ImageConfig> {
    if (descriptor.size > MAX_CONFIG) {
      throw new OciError("size", `image configuration: ${descriptor.size} bytes, at most ${MAX_CONFIG}`);
    }
    const bytes = await readAll("image configuration", this.blob(descriptor, signal), descriptor.size);
    verifyDigest("image configuration", bytes, descriptor.digest);
    return parseImageConfig(bytes);
  }

  /**
   * The bytes of a blob, exactly as many as its descriptor says. A connection that breaks is resumed where it broke;
   * the caller checks the digest (DigestVerifier) while it reads, so no byte is hashed twice. A part is valid only until
   * the next one is asked for.
   *
   * @throws OciError `size` when the registry has more or fewer bytes.
   */
  async *blob(descriptor: Descriptor, signal?: AbortSignal): AsyncGenerator<Uint8Array, void, undefined> {
    const url = new URL(`blobs/${descriptor.digest}`, this.#base);
    const attempts = new Attempts(this.#retry, this.#clock, signal);
    let received = 0;
    for (;;) {
      try {
        const response = await this.#transfer.get(
          url,
          rangeFrom(received),
          received === 0 ? [200] : [200, 206],
          signal,
        );
        let skip = bytesBefore(received, response);
        for await (const chunk of response.body) {
          const fresh = chunk.subarray(Math.min(skip, chunk.length));
          skip -= chunk.length - fresh.length;
          if (fresh.length === 0) continue;
          received += fresh.length;
          if (received > descriptor.size) {
            response.discard();
            throw new OciError("size", `blob ${descriptor.digest}: expected ${descriptor.size} bytes, got more`);
          }
          attempts.progressed();
          yield fresh;
        }
        if (received === descriptor.size) return;
        throw new OciError("size", `blob ${descriptor.digest}: expected ${descriptor.size} bytes, got ${received}`);
      } catch (error) {
        await attempts.next(error);
      }
    }
  }

  async #manifest(
    name: string,
    pinned: string | undefined,
    signal: AbortSignal | undefined,
    size?: number,
  ): Promise<{ digest: string; manifest: ReturnType<typeof parseManifest> }> {
    const url = new URL(`manifests/${name}`, this.#base);
    const attempts = new Attempts(this.#retry, this.#clock, signal);
    for (;;) {
      try {
        const response = await this.#transfer.get(url, { accept: ACCEPT }, [200], signal);
        const bytes = await readAll("manifest", response.body, MAX_MANIFEST);
        if (size !== undefined && bytes.length !== size) {
          throw new OciError("size", `manifest ${name}: expected ${size} bytes, got ${bytes.length}`);
        }
        const announced = response.headers["docker-content-digest"];
        if (announced !== undefined && announced !== "") verifyDigest(`manifest ${name}`, bytes, announced);
        if (pinned !== undefined) verifyDigest(`manifest ${name}`, bytes, pinned);
        return { digest: pinned ?? digestOf(bytes), manifest: parseManifest(bytes, response.headers["content-type"]) };
      } catch (error) {
        await attempts.next(error);
      }
    }
  }
}

function rangeFrom(received: number): Record<string, string> {
  return received === 0 ? {} : { range: `bytes=${received}-` };
}

/** How many bytes at the start of a response are old: none, or all when the registry ignored the range. */
function bytesBefore(received: number, response: HttpResponse): number {
  if (response.status === 200) return received;
  const start = /^bytes ([0-9]{1,16})-/.exec(response.headers["content-range"] ?? "")?.[1];
  if (Number(start) === received) return 0;
  response.discard();
  throw new OciError(
    "registry",
    `asked for bytes from ${received}, got ${JSON.stringify(response.headers["content-range"])}`,
  );
}
