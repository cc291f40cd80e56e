import { existsSync, type FSWatcher, watch } from "node:fs";
import { arch } from "node:os";
import { mkdir, readdir, rmdir, unlink, writeFile } from "node:fs/promises";
import { dirname, isAbsolute, join, normalize } from "node:path";
import {
  type Clock,
  type Compression,
  type CredentialStore,
  type Descriptor,
  expandReference,
  type Http,
  type ImageConfig,
  layerEncoding,
  parseReference,
  formatReference,
  type PullSource,
  type Reference,
  type RegistryConfig,
  RepositoryClient,
  type ResolvedImage,
  type RetryPolicy,
} from "oci-client";
import type { Tracer } from "@nacre/protocols";
import { bundleConfig } from "./bundle.ts";
import { describeError, PullError } from "./error.ts";
import { LayerStore, type StoredLayer } from "./layer-store.ts";
import { type OverlayCalls, type OverlayMount, OverlayStore } from "./overlay.ts";
import type { FoundImage, SignatureVerdict } from "./signature/verdict.ts";
import type { LayerPlan, UnpackedLayer } from "./unpack/layer-unpack.ts";

/** Downloads of one image at a time unless configured otherwise (image-rs has the same default). */
export const DEFAULT_CONCURRENT_DOWNLOADS = 3;

/** Turns blobs into files; `WorkerPool` does it on other threads. */
export interface Unpacking {
  /** Resolves when a thread is ready for its first layer. Never rejects. */
  warm(): Promise<void>;
  unpack(plan: LayerPlan, blob: AsyncIterable<Uint8Array>, signal?: AbortSignal): Promise<UnpackedLayer>;
}

export interface ImagePullerOptions {
  /** Where layers and the containers' changes lie; made if missing. No `:`, `,` or `\`, which overlayfs takes apart. */
  readonly workDir: string;
  readonly http: Http;
  readonly clock: Clock;
  readonly sys: OverlayCalls;
  readonly unpacking: Unpacking;
  readonly registries: RegistryConfig;
  readonly credentials?: CredentialStore | undefined;
  readonly concurrentDownloads?: number;
  readonly retry?: RetryPolicy;
  /** Whether an image may be used at all. Default: every image. */
  readonly signatures?: SignatureGate | undefined;
  /** Is told of each part of a pull. */
  readonly tracer?: Pick<Tracer, "span"> | undefined;
}

/** Judges an image before anything of it is used, also where every layer is there already. */
export interface SignatureGate {
  /**
   * `client` reads the repository that the image was found in. By what it was let in; rejects with PullError `signature`, or with
   * what the environment did.
   */
  check(image: FoundImage, client: RepositoryClient, signal?: AbortSignal): Promise<SignatureVerdict>;
}

/** What was pulled; every digest has been verified. */
export interface PulledImage {
  readonly reference: string;
  readonly indexDigest?: string;
  readonly manifestDigest: string;
  readonly configDigest: string;
  /** Lowest layer first. */
  readonly diffIds: readonly string[];
  /** By what the signature policy let it in, where there is one. */
  readonly signature?: SignatureVerdict;
}

/** Pulls images into bundles. */
export class ImagePuller {
  readonly #options: ImagePullerOptions;
  readonly #layers: LayerStore;
  readonly #overlays: OverlayStore;
  readonly #mounts = new Map<string, OverlayMount>();
  /** Bundles that a pull is making right now. */
  readonly #making = new Set<string>();

  private constructor(options: ImagePullerOptions, layers: LayerStore, overlays: OverlayStore) {
    this.#options = options;
    this.#layers = layers;
    this.#overlays = overlays;
  }

  /** Opens the stores and cleans up what an earlier process left there. @throws PullError */
  static async open(options: ImagePullerOptions): Promise<ImagePuller> {
    const { workDir } = options;
    if (!isAbsolute(workDir) || /[:,\\\n]/.test(workDir)) {
      throw new PullError("configuration", `image directory ${JSON.stringify(workDir)} is not an absolute plain path`);
    }
    const root = normalize(workDir).replace(/\/+$/, "");
    return new ImagePuller(options, await LayerStore.open(root), await OverlayStore.open(options.sys, root));
  }

  /**
   * Pulls an image and makes a bundle of it: `config.json` and a mounted `rootfs`.
   *
   * Places are tried in the order of the registry configuration. Whatever fails, aborting included, leaves neither mount
   * nor file in the bundle; layers that were whole stay for the next pull.
   *
   * @throws PullError `reference` when `image` is none; `pull` with the reasons of all places otherwise.
   */
  async pull(image: string, bundle: string, signal?: AbortSignal): Promise<PulledImage> {
    let reference: Reference;
    try {
      reference = parseReference(image);
    } catch (error) {
      throw new PullError("reference", describeError(error), { cause: error });
    }
    if (!isAbsolute(bundle))
      throw new PullError("bundle", `bundle path ${JSON.stringify(bundle.slice(0, 300))} is not absolute`);
    void this.#options.unpacking.warm();
    const failures: string[] = [];
    let cause: unknown;
    try {
      for (const source of expandReference(this.#options.registries, reference)) {
        signal?.throwIfAborted();
        const task = formatReference(source.reference);
        try {
          return { ...(await this.#pullFrom(reference, source, bundle, signal)), reference: image };
        } catch (error) {
          cause = error;
          failures.push(`image: ${task}, error: ${describeError(error)}`);
        }
      }
    } catch (error) {
      cause = error;
      failures.push(`image: ${image}, error: ${describeError(error)}`);
    }
    const text = `Failed to pull image ${image} from all mirror/mapping locations or original location: `;
    throw new PullError("pull", text + failures.join("\n"), { cause });
  }

  /** Unmounts the root file system of a bundle and removes what the container changed and the bundle's files. */
  async remove(bundle: string): Promise<void> {
    const mount = this.#mounts.get(bundle);
    if (mount === undefined) throw new PullError("bundle", `no image is mounted in ${bundle}`);
    this.#mounts.delete(bundle);
    await this.#overlays.unmount(mount);
    await rmdir(mount.target);
    await unlink(join(bundle, "config.json")).catch(ignoreMissing);
    await rmdir(bundle).catch(() => undefined);
  }

  /** Frees what containers changed whose root file systems others have unmounted. */
  async sweep(): Promise<void> {
    await this.#overlays.sweep();
  }

  async #pullFrom(
    asked: Reference,
    source: PullSource,
    bundle: string,
    signal: AbortSignal | undefined,
  ): Promise<Omit<PulledImage, "reference">> {
    const claimed = await this.#claim(bundle);
    let made = false;
    try {
      const { http, clock, credentials, retry } = this.#options;
      const client = new RepositoryClient(source.reference, {
        http,
        clock,
        insecure: source.insecure,
        credentials: credentials?.find(source.reference),
        ...(retry === undefined ? {} : { retry }),
      });
      const image = await this.#traced("manifest", "", () =>
        step("failed to pull image manifest", client.resolve(hostPlatform(), signal)),
      );
      const { indexDigest, manifestDigest } = image;
      const gate = this.#options.signatures;
      const signature =
        gate === undefined
          ? undefined
          : await this.#traced("signature", "", () =>
              gate.check({ asked, indexDigest, manifestDigest }, client, signal),
            );
      const config = await this.#traced("config", "", () =>
        step("failed to pull image config", client.config(image.manifest.config, signal)),
      );
      const layers = await this.#pullLayers(client, source.reference, image, config, signal);
      await this.#traced("mount", "", () => this.#makeBundle(bundle, layers, config));
      made = true;
      return {
        ...(indexDigest === undefined ? {} : { indexDigest }),
        ...(signature === undefined ? {} : { signature }),
        manifestDigest,
        configDigest: image.manifest.config.digest,
        diffIds: config.diffIds,
      };
    } finally {
      this.#making.delete(bundle);
      if (!made) await claimed.release();
    }
  }

  async #pullLayers(
    client: RepositoryClient,
    { registry, repository }: Reference,
    { manifest }: ResolvedImage,
    config: ImageConfig,
    signal: AbortSignal | undefined,
  ): Promise<readonly StoredLayer[]> {
    const wanted = hostPlatform();
    if (config.os !== wanted.os || config.architecture !== wanted.architecture) {
      throw new PullError(
        "unsupported",
        `image for ${config.os}/${config.architecture}, expected ${wanted.os}/${wanted.architecture}`,
      );
    }
    if (config.diffIds.length !== manifest.layers.length) {
      throw new PullError("digest", `expected ${config.diffIds.length} layers, got ${manifest.layers.length}`);
    }
    if (manifest.layers.length === 0) throw new PullError("unsupported", "an image without layers");
    // Media types are looked at before anything is fetched: an image with one bad layer costs nothing.
    const plans = manifest.layers.map((layer, index) => ({
      layer,
      place: `${index + 1}/${manifest.layers.length}`,
      compression: plainCompression(layer),
      diffId: config.diffIds[index] ?? "",
    }));
    const stored = new Map<string, StoredLayer>();
    const failed = new AbortController();
    const all = AbortSignal.any([failed.signal, ...(signal === undefined ? [] : [signal])]);
    const queue = plans.values();
    const fetchNext = async (): Promise<void> => {
      for (const { layer, place, compression, diffId } of queue) {
        all.throwIfAborted();
        const unpack = async (directory: string, shared: AbortSignal): Promise<UnpackedLayer> =>
          await this.#options.unpacking.unpack(
            { directory, compression, digest: layer.digest, diffId },
            client.blob(layer, shared),
            shared,
          );
        const source = `${registry}/${repository}@${layer.digest}`;
        const getting = (): Promise<StoredLayer> =>
          step(`failed to pull layer ${layer.digest}`, this.#layers.get(diffId, source, unpack, all));
        stored.set(diffId, await this.#traced("layer", `${place} of ${layer.size} bytes`, getting));
      }
    };
    const lanes = Math.min(this.#options.concurrentDownloads ?? DEFAULT_CONCURRENT_DOWNLOADS, plans.length);
    const results = await Promise.allSettled(
      Array.from({ length: lanes }, async () => {
        try {
          await fetchNext();
        } catch (error) {
          // The first failure ends the others; theirs say only that.
          failed.abort(error);
          throw error;
        }
      }),
    );
    signal?.throwIfAborted();
    if (failed.signal.aborted) throw failed.signal.reason;
    if (results.some(({ status }) => status === "rejected")) throw new PullError("worker", "a layer is missing");
    return config.diffIds.map((diffId) => stored.get(diffId) as StoredLayer);
  }

  #traced<T>(part: string, detail: string, work: () => Promise<T>): Promise<T> {
    return this.#options.tracer?.span(part, detail, work) ?? work();
  }

  /** Takes a bundle for one pull. @throws PullError `bundle` when it is in use. */
  async #claim(bundle: string): Promise<{ release(): Promise<void> }> {
    const used = (cause?: unknown): PullError => new PullError("bundle", "Failed to create bundle", { cause });
    if (this.#making.has(bundle)) throw used();
    this.#making.add(bundle);
    const config = join(bundle, "config.json");
    const rootfs = join(bundle, "rootfs");
    const made: string[] = [];
    try {
      const first = await mkdir(bundle, { recursive: true });
      if (first !== undefined) made.push(...pathsBetween(first, bundle));
      // Creating it now, and exclusively, is what makes a second use of the bundle fail before anything is fetched.
      await writeFile(config, "", { flag: "wx", mode: 0o600 });
      made.push(config);
      if ((await mkdir(rootfs, { recursive: true })) !== undefined) made.push(rootfs);
      else if ((await readdir(rootfs)).length > 0) throw new Error(`${rootfs} is not empty`);
    } catch (error) {
      this.#making.delete(bundle);
      await removeAll(made);
      throw used(error);
    }
    return { release: async () => await removeAll(made) };
  }

  async #makeBundle(bundle: string, layers: readonly StoredLayer[], config: ImageConfig): Promise<void> {
    await this.#overlays.sweep();
    const mount = await this.#overlays.mount(layers, join(bundle, "rootfs"));
    try {
      await writeFile(join(bundle, "config.json"), JSON.stringify(bundleConfig(config)));
    } catch (error) {
      await this.#overlays.unmount(mount);
      throw new PullError("bundle", "Failed to create bundle", { cause: error });
    }
    this.#mounts.set(bundle, mount);
    this.#watch(bundle);
  }

  /** The agent unmounts and removes bundles itself; their changes in our directory go when it has. */
  #watch(bundle: string): void {
    let watcher: FSWatcher;
    try {
      watcher = watch(bundle, { persistent: false });
    } catch {
      // A container can use up the guest's watches (inotify(7)); then the next pull frees what this one leaves.
      return;
    }
    watcher.on("change", () => {
      if (existsSync(bundle)) return;
      watcher.close();
      this.#mounts.delete(bundle);
      // What cannot be freed now is tried again with the next pull.
      this.#overlays.sweep().catch(() => undefined);
    });
    watcher.on("error", () => watcher.close());
  }
}

/** The platform of this machine in image terms (GOOS, GOARCH). */
export function hostPlatform(): { os: string; architecture: string } {
  const names: Readonly<Record<string, string>> = { x64: "amd64", ia32: "386" };
  return { os: "linux", architecture: names[arch()] ?? arch() };
}

function plainCompression(layer: Descriptor): Compression {
  const { compression, encrypted } = layerEncoding(layer.mediaType);
  if (encrypted) throw new PullError("unsupported", `encrypted layer ${layer.digest}: no key provider is configured`);
  return compression;
}

async function step<T>(what: string, work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    if (error instanceof PullError && error.code === "pull") throw error;
    throw new PullError("pull", `Errors happened when pulling image: ${what}`, { cause: error });
  }
}

/** The directories from `first` down to `last`, both included. */
function pathsBetween(first: string, last: string): readonly string[] {
  const paths: string[] = [];
  for (let at = normalize(last); at.length >= first.length; at = dirname(at)) paths.unshift(at);
  return paths;
}

async function removeAll(paths: readonly string[]): Promise<void> {
  for (const path of paths.toReversed()) {
    await (path.endsWith("/config.json") ? unlink(path) : rmdir(path)).catch(() => undefined);
  }
}

function ignoreMissing(error: unknown): void {
  if (!(error instanceof Error && "code" in error && error.code === "ENOENT")) throw error;
}
