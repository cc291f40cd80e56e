import { checkKey, type Namespace, type Storage } from "./storage.ts";

/** Keeps everything until the process ends. What is overwritten or deleted is zeroed. */
export class MemoryStorage implements Storage {
  readonly #values = new Map<string, Map<string, Buffer>>();

  async get(namespace: Namespace, key: string): Promise<Buffer | undefined> {
    checkKey(key);
    const value = this.#of(namespace).get(key);
    return value === undefined ? undefined : Buffer.from(value);
  }

  async set(namespace: Namespace, key: string, value: Uint8Array): Promise<void> {
    checkKey(key);
    const values = this.#of(namespace);
    values.get(key)?.fill(0);
    values.set(key, Buffer.from(value));
  }

  async setNew(namespace: Namespace, key: string, value: Uint8Array): Promise<boolean> {
    if (this.#of(namespace).has(key)) return false;
    await this.set(namespace, key, value);
    return true;
  }

  async delete(namespace: Namespace, key: string): Promise<boolean> {
    checkKey(key);
    const values = this.#of(namespace);
    values.get(key)?.fill(0);
    return values.delete(key);
  }

  list(namespace: Namespace): Promise<readonly string[]> {
    return Promise.resolve([...this.#of(namespace).keys()]);
  }

  close(): Promise<void> {
    for (const values of this.#values.values()) {
      for (const value of values.values()) value.fill(0);
      values.clear();
    }
    return Promise.resolve();
  }

  #of(namespace: Namespace): Map<string, Buffer> {
    let values = this.#values.get(namespace);
    if (values === undefined) this.#values.set(namespace, (values = new Map()));
    return values;
  }
}
