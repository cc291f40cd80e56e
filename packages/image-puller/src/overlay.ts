import { randomBytes } from "node:crypto";
import { closeSync, openSync, constants } from "node:fs";
import { chmod, chown, mkdir, readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { mountInfo, type MountCalls, SafeRoot, Unmount } from "@nacre/kata-sys-util";
import { storageError } from "./error.ts";
import type { StoredLayer } from "./layer-store.ts";

/** mount(2) takes its options as text of at most a page, the last byte being NUL. */
const MAX_OPTIONS = 4095;

/** The part of the system that overlays need. */
export type OverlayCalls = Pick<MountCalls, "mount" | "umount2">;

/** A root file system: read-only layers under a directory of its own for what the container changes. */
export interface OverlayMount {
  readonly target: string;
  /** Removed when the mount is gone. */
  readonly directory: string;
}

/** Root file systems made of layers, with their changes under `overlays/ID/{upper,work}`. */
export class OverlayStore {
  readonly #sys: OverlayCalls;
  readonly #root: string;
  /** Made but not yet mounted: no mount shows that they are in use. */
  readonly #coming = new Set<string>();

  private constructor(sys: OverlayCalls, root: string) {
    this.#sys = sys;
    this.#root = root;
  }

  /** Opens a store and removes the changes of mounts that are gone. */
  static async open(sys: OverlayCalls, root: string): Promise<OverlayStore> {
    await mkdir(join(root, "overlays"), { recursive: true, mode: 0o700 });
    const store = new OverlayStore(sys, root);
    await store.sweep();
    return store;
  }

  /**
   * Mounts layers, the lowest first, on an existing directory.
   *
   * @throws PullError `storage` or `no-space`
   */
  async mount(layers: readonly StoredLayer[], target: string): Promise<OverlayMount> {
    const directory = join(this.#root, "overlays", randomBytes(8).toString("hex"));
    const upper = join(directory, "upper");
    const work = join(directory, "work");
    const opened: number[] = [];
    this.#coming.add(directory);
    try {
      const lower = stack(layers).map(({ files }) => files);
      await mkdir(upper, { recursive: true });
      await mkdir(work);
      await copyAttributes(lower[0] ?? "", upper);
      let data = `lowerdir=${lower.join(":")},upperdir=${upper},workdir=${work}`;
      if (data.length > MAX_OPTIONS) {
        // Descriptors of this process are shorter names for the same directories, and only needed during the call.
        opened.push(...lower.map((path) => openSync(path, constants.O_DIRECTORY)));
        const short = opened.map((fd) => `/proc/self/fd/${fd}`).join(":");
        data = `lowerdir=${short},upperdir=${upper},workdir=${work}`;
      }
      await this.#sys.mount("overlay", target, "overlay", 0, data);
      return { target, directory };
    } catch (error) {
      await this.#remove(directory);
      throw storageError(`failed to mount the image on ${target}`, error);
    } finally {
      for (const fd of opened) closeSync(fd);
      this.#coming.delete(directory);
    }
  }

  /** Unmounts and forgets what the container changed. */
  async unmount({ target, directory }: OverlayMount): Promise<void> {
    await this.#sys.umount2(target, Unmount.DETACH | Unmount.NOFOLLOW);
    await this.#remove(directory);
  }

  /** Removes the changes of all mounts that somebody else has unmounted since. */
  async sweep(): Promise<void> {
    const inUse = new Set<string>();
    for (const mount of await mountInfo()) {
      const upper = mount.fsType === "overlay" && mount.superOptions.find((option) => option.startsWith("upperdir="));
      if (typeof upper === "string") inUse.add(upper.slice("upperdir=".length));
    }
    for (const name of await readdir(join(this.#root, "overlays"))) {
      const directory = join(this.#root, "overlays", name);
      if (!inUse.has(join(directory, "upper")) && !this.#coming.has(directory)) await this.#remove(directory);
    }
  }

  async #remove(directory: string): Promise<void> {
    using root = SafeRoot.open(this.#root);
    await root.removeTree(directory.slice(this.#root.length));
  }
}

/** The root of an overlay has the attributes of its upper directory: they must be those of the image's own root. */
async function copyAttributes(from: string, to: string): Promise<void> {
  const { mode, uid, gid } = await stat(from);
  await chown(to, uid, gid);
  await chmod(to, mode & 0o7777);
}

/**
 * The lower directories, top first. Of a layer that an image has twice only the upper one counts, which hides all of the
 * lower one (and overlayfs refuses a directory that is there twice); nothing below a layer with an opaque root counts.
 */
export function stack(layers: readonly StoredLayer[]): readonly StoredLayer[] {
  const seen = new Set<string>();
  const result: StoredLayer[] = [];
  for (const layer of layers.toReversed()) {
    if (!seen.has(layer.diffId)) result.push(layer);
    seen.add(layer.diffId);
    if (layer.opaqueRoot) break;
  }
  return result;
}
