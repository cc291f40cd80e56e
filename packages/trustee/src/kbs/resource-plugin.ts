import { TrusteeError } from "../error.ts";
import { Namespace, type Storage } from "../storage/storage.ts";

/** Each part of a resource's path. */
const PART = /^[A-Za-z0-9_-][A-Za-z0-9_.-]*$/u;

/** Resources by repository, type and tag. */
export class ResourcePlugin {
  readonly #storage: Storage;

  constructor(storage: Storage) {
    this.#storage = storage;
  }

  /** Rejects with `request` for a path that is none, and where nothing is. */
  async read(path: readonly string[]): Promise<Buffer> {
    const value = await this.#storage.get(Namespace.REPOSITORY, keyOf(path));
    if (value === undefined) throw new TrusteeError("request", "resource: there is none");
    return value;
  }

  async write(path: readonly string[], value: Buffer): Promise<void> {
    await this.#storage.set(Namespace.REPOSITORY, keyOf(path), value);
  }

  async delete(path: readonly string[]): Promise<void> {
    const deleted = await this.#storage.delete(Namespace.REPOSITORY, keyOf(path));
    if (!deleted) throw new TrusteeError("request", "resource: there is none");
  }
}

function keyOf(path: readonly string[]): string {
  if (path.length !== 3 || !path.every((part) => PART.test(part))) {
    throw new TrusteeError("request", "resource: expected repository/type/tag");
  }
  return path.join("/");
}
