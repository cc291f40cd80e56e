import { randomUUID } from "node:crypto";
import { link, mkdir, open, readdir, readFile, rename, rm, unlink } from "node:fs/promises";
import { join } from "node:path";

import { TrusteeError } from "../error.ts";
import { checkKey, Namespace, type Storage, storageError } from "./storage.ts";

/** Written beside the namespaces, then renamed into one: no reader ever sees half of a value. */
const UNFINISHED = ".unfinished";

/**
 * A folder in upstream's layout: `<namespace>/<key>`, where "/" in a key is the four characters `\x2F`. Other programs
 * put resources there and read them, so nothing else is ever in a namespace's folder.
 */
export class LocalFsStorage implements Storage {
  readonly #folder: string;

  private constructor(folder: string) {
    this.#folder = folder;
  }

  /** Makes the folder, and removes what a crash left unfinished. Rejects with `storage`. */
  static async open(folder: string): Promise<LocalFsStorage> {
    try {
      await rm(join(folder, UNFINISHED), { recursive: true, force: true });
      await mkdir(join(folder, UNFINISHED), { recursive: true, mode: 0o700 });
    } catch (cause) {
      throw storageError(`opening ${folder}`, cause);
    }
    return new LocalFsStorage(folder);
  }

  async get(namespace: Namespace, key: string): Promise<Buffer | undefined> {
    const path = this.#path(namespace, key);
    try {
      return await readFile(path);
    } catch (cause) {
      if (isMissing(cause)) return undefined;
      throw storageError("get", cause);
    }
  }

  async set(namespace: Namespace, key: string, value: Uint8Array): Promise<void> {
    const path = this.#path(namespace, key);
    let written: string | undefined;
    try {
      written = await this.#write(namespace, value);
      await rename(written, path);
      await this.#settle(namespace);
    } catch (cause) {
      if (written !== undefined) await rm(written, { force: true });
      throw storageError("set", cause);
    }
  }

  async setNew(namespace: Namespace, key: string, value: Uint8Array): Promise<boolean> {
    const path = this.#path(namespace, key);
    let written: string | undefined;
    try {
      written = await this.#write(namespace, value);
      // Unlike a rename, a link never replaces what is there.
      await link(written, path);
      await this.#settle(namespace);
      return true;
    } catch (cause) {
      if (hasCode(cause, "EEXIST")) return false;
      throw storageError("set", cause);
    } finally {
      if (written !== undefined) await rm(written, { force: true });
    }
  }

  async delete(namespace: Namespace, key: string): Promise<boolean> {
    const path = this.#path(namespace, key);
    try {
      await unlink(path);
      await this.#settle(namespace);
      return true;
    } catch (cause) {
      if (isMissing(cause)) return false;
      throw storageError("delete", cause);
    }
  }

  async list(namespace: Namespace): Promise<readonly string[]> {
    try {
      const names = await readdir(join(this.#folder, namespace));
      return names.map((name) => name.replaceAll(String.raw`\x2F`, "/"));
    } catch (cause) {
      if (isMissing(cause)) return [];
      throw storageError("list", cause);
    }
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  /** Writes a value under a name of its own, down to the disk. Nothing stays when that fails. */
  async #write(namespace: Namespace, value: Uint8Array): Promise<string> {
    await mkdir(join(this.#folder, namespace), { recursive: true, mode: 0o700 });
    const path = join(this.#folder, UNFINISHED, randomUUID());
    try {
      const file = await open(path, "wx", 0o600);
      try {
        await file.writeFile(value);
        if (namespace !== Namespace.SESSION) await file.sync();
      } finally {
        await file.close();
      }
    } catch (cause) {
      await rm(path, { force: true });
      throw cause;
    }
    return path;
  }

  /** A name is on the disk when its folder is. Sessions need not outlive the machine. */
  async #settle(namespace: Namespace): Promise<void> {
    if (namespace === Namespace.SESSION) return;
    const folder = await open(join(this.#folder, namespace), "r");
    try {
      await folder.sync();
    } finally {
      await folder.close();
    }
  }

  #path(namespace: Namespace, key: string): string {
    checkKey(key);
    if (key === "." || key === "..") throw new TrusteeError("request", "storage: expected a key that names a file");
    return join(this.#folder, namespace, key.replaceAll("/", String.raw`\x2F`));
  }
}

function isMissing(cause: unknown): boolean {
  return hasCode(cause, "ENOENT");
}

function hasCode(cause: unknown, code: string): boolean {
  return (cause as { readonly code?: unknown }).code === code;
}
