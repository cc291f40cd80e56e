import { randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { chmod, mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { hasCode, SafeRoot } from "@nacre/kata-sys-util";
import { parseDigest } from "oci-client";
import { PullError, storageError } from "./error.ts";
import { SharedTasks } from "./shared-tasks.ts";
import type { UnpackedLayer } from "./unpack/layer-unpack.ts";

/** A layer that is whole: both digests matched. */
export interface StoredLayer {
  readonly diffId: string;
  /** Its files, a lower directory for overlayfs. */
  readonly files: string;
  readonly opaqueRoot: boolean;
}

/**
 * Layers by the digest of their contents, under `layers/sha256-HEX/{files,layer.json}`.
 *
 * A layer is unpacked under `tmp/` and renamed when it is whole, so whatever is under `layers/` has been verified, also
 * after a crash; what lies under `tmp/` at the start is nobody's. Being named by content, a stored layer serves any
 * image that asks for that diff_id, whatever blob it names. No fsync: the guest's storage does not outlive the guest.
 */
export class LayerStore {
  readonly #root: string;
  readonly #tasks = new SharedTasks<StoredLayer>();

  private constructor(root: string) {
    this.#root = root;
  }

  /** Opens or makes a store and removes what an earlier process left half done. */
  static async open(root: string): Promise<LayerStore> {
    await mkdir(join(root, "layers"), { recursive: true, mode: 0o700 });
    const store = new LayerStore(root);
    await store.#removeTree("tmp");
    await mkdir(join(root, "tmp"), { mode: 0o700 });
    return store;
  }

  /**
   * The layer with this diff_id; `unpack` makes it in the directory it is given if it is not there. Callers that want
   * the same layer from the same `source` at the same time share one `unpack`, which is aborted when all of them have
   * been. Those of other sources do not wait for it: their layer must not depend on another registry's good will.
   *
   * @throws PullError, and what `unpack` throws.
   */
  async get(
    diffId: string,
    source: string,
    unpack: (directory: string, signal: AbortSignal) => Promise<UnpackedLayer>,
    signal?: AbortSignal,
  ): Promise<StoredLayer> {
    return await this.#tasks.run(`${diffId} ${source}`, (shared) => this.#getOnce(diffId, unpack, shared), signal);
  }

  async #getOnce(
    diffId: string,
    unpack: (directory: string, signal: AbortSignal) => Promise<UnpackedLayer>,
    signal: AbortSignal,
  ): Promise<StoredLayer> {
    const { algorithm, hex } = parseDigest(diffId);
    const directory = join(this.#root, "layers", `${algorithm}-${hex}`);
    if (existsSync(directory)) return await this.#read(diffId, directory);
    const name = randomBytes(8).toString("hex");
    const temporary = join(this.#root, "tmp", name);
    try {
      await mkdir(join(temporary, "files"), { recursive: true });
      // The mode of the image's root directory unless the layer gives one, whatever our umask is.
      await chmod(join(temporary, "files"), 0o755);
      const { opaqueRoot, size, entries } = await unpack(join(temporary, "files"), signal);
      await writeFile(join(temporary, "layer.json"), JSON.stringify({ diffId, size, entries, opaqueRoot }));
      await rename(temporary, directory);
      return { diffId, files: join(directory, "files"), opaqueRoot };
    } catch (error) {
      await this.#removeTree(join("tmp", name));
      // The same layer came from another source first.
      if (hasCode(error, "ENOTEMPTY") || hasCode(error, "EEXIST")) return await this.#read(diffId, directory);
      if (error instanceof Error && "syscall" in error) throw storageError("failed to store a layer", error);
      throw error;
    }
  }

  async #read(diffId: string, directory: string): Promise<StoredLayer> {
    const record = JSON.parse(await readFile(join(directory, "layer.json"), "utf8")) as Record<string, unknown>;
    if (record["diffId"] !== diffId) throw new PullError("storage", `the stored layer ${diffId} is of another digest`);
    return { diffId, files: join(directory, "files"), opaqueRoot: record["opaqueRoot"] === true };
  }

  async #removeTree(path: string): Promise<void> {
    using root = SafeRoot.open(this.#root);
    try {
      await root.removeTree(path);
    } catch (error) {
      if (!hasCode(error, "ENOENT")) throw error;
    }
  }
}
