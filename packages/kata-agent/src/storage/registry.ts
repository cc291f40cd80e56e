import { Mutex } from "../container/mutex.ts";
import { describeError, internalError } from "../error.ts";
import type { Logger } from "../log.ts";
import type { StorageContext, StorageDriver, StorageMessage, Undo } from "./storage.ts";

interface Entry {
  /** What the storage was made of; another message for the same mount point must be equal. */
  readonly identity: string;
  readonly undo: Undo;
  /** Stays until the sandbox ends, without users, too (`shared` of the message). */
  readonly keep: boolean;
  /** The same once it has served a container to its end. */
  readonly outlives: boolean;
  served: boolean;
  users: number;
}

/**
 * The sandbox's storages by mount point, with a count of users (section 3.4). Making and undoing one mount point never
 * overlap; different mount points do not wait for each other.
 */
export class StorageRegistry {
  readonly #drivers: ReadonlyMap<string, StorageDriver>;
  readonly #entries = new Map<string, Entry>();
  readonly #locks = new Map<string, { mutex: Mutex; users: number }>();
  readonly #log: Logger;

  constructor(drivers: readonly StorageDriver[], log: Logger) {
    this.#drivers = new Map(drivers.map((driver) => [driver.name, driver]));
    this.#log = log;
  }

  /** Names of the drivers, sorted: the real agent's order is random (golden-findings 16). */
  get driverNames(): string[] {
    return [...this.#drivers.keys()].sort();
  }

  /**
   * Makes the storages in order and returns their mount points for `release`. When one fails, those made before it are
   * released again. A mount point that is there already only gains a user, and only for the same storage: upstream
   * lets any second message pass, so a mount made before could take the place of an image (a deviation).
   */
  async addAll(storages: readonly StorageMessage[], context: StorageContext): Promise<string[]> {
    const added: string[] = [];
    try {
      for (const storage of storages) {
        await this.#add(storage, context);
        added.push(storage.mount_point);
      }
    } catch (error) {
      await this.releaseAll(added);
      throw error;
    }
    return added;
  }

  /**
   * Takes one user away from each mount point, last made first: of a container that could not be made, or of one that has
   * `served` its time. Failures are logged: the caller is on its way out.
   */
  async releaseAll(
    mountPoints: readonly string[],
    { served = false }: { readonly served?: boolean } = {},
  ): Promise<void> {
    for (const mountPoint of mountPoints.toReversed()) await this.#release(mountPoint, served ? "served" : "failed");
  }

  /** Undoes everything, whoever uses it. */
  async clear(): Promise<void> {
    for (const mountPoint of [...this.#entries.keys()].toReversed()) await this.#release(mountPoint, "always");
  }

  async #add(storage: StorageMessage, context: StorageContext): Promise<void> {
    const driver = this.#drivers.get(storage.driver);
    if (driver === undefined) throw internalError(`Failed to find the storage handler ${storage.driver}`);
    driver.check(storage, context);
    await this.#locked(storage.mount_point, context.signal, async () => {
      const identity = identityOf(storage);
      const entry = this.#entries.get(storage.mount_point);
      if (entry !== undefined) {
        if (!driver.shareable || entry.identity !== identity) {
          throw internalError(`mount point ${storage.mount_point} is in use by another storage`);
        }
        entry.users += 1;
        return;
      }
      const undo = await driver.add(storage, context);
      this.#entries.set(storage.mount_point, {
        identity,
        undo,
        keep: storage.shared,
        outlives: driver.outlivesContainers ?? false,
        served: false,
        users: 1,
      });
    });
  }

  #release(mountPoint: string, why: "failed" | "served" | "always"): Promise<void> {
    return this.#locked(mountPoint, undefined, async () => {
      const entry = this.#entries.get(mountPoint);
      if (entry === undefined) return;
      entry.users -= 1;
      entry.served ||= why === "served";
      const stays = entry.users > 0 || entry.keep || (entry.outlives && entry.served);
      if (stays && why !== "always") return;
      this.#entries.delete(mountPoint);
      try {
        await entry.undo();
      } catch (error) {
        this.#log.error("storage was not undone", { mount_point: mountPoint, error: describeError(error) });
      }
    });
  }

  async #locked(mountPoint: string, signal: AbortSignal | undefined, work: () => Promise<void>): Promise<void> {
    const lock = this.#locks.get(mountPoint) ?? { mutex: new Mutex(), users: 0 };
    this.#locks.set(mountPoint, lock);
    lock.users += 1;
    try {
      await lock.mutex.run(signal, work);
    } finally {
      lock.users -= 1;
      if (lock.users === 0) this.#locks.delete(mountPoint);
    }
  }
}

/** Everything in the message that decides what lies at the mount point afterwards. */
function identityOf(storage: StorageMessage): string {
  const group = storage.fs_group;
  return JSON.stringify([
    storage.driver,
    storage.source,
    storage.fstype,
    storage.options,
    storage.driver_options,
    storage.shared,
    group === null ? null : [group.group_id, group.group_change_policy],
  ]);
}
