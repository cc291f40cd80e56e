import type { RedisClientType } from "@redis/client";

import { TrusteeError } from "../error.ts";
import { bareError, CALL_MS, CONNECT_MS, within } from "./deadline.ts";
import { checkKey, type Namespace, type Storage, storageError } from "./storage.ts";

export interface RedisOptions {
  /** `redis://` or `rediss://`; may hold a password. */
  readonly url: string;
  /** Milliseconds that a call may take; for tests. */
  readonly callMs?: number;
}

/** Keys that the server is asked for at a time; it does nothing else meanwhile. */
const SCAN_COUNT = 1000;

type Client = RedisClientType;

/**
 * Redis or Valkey, in upstream's layout: `<namespace>:<key>`. Each call is one command; how much of what it resolved for
 * outlives the server's crash is the server's configuration (`appendfsync`). A connection that broke is replaced by the
 * next call, and what was under way is reported as failed.
 */
export class RedisStorage implements Storage {
  readonly #url: string;
  readonly #callMs: number;
  #client: Client | undefined;
  #connecting: Promise<Client> | undefined;

  private constructor(url: string, callMs: number) {
    this.#url = url;
    this.#callMs = callMs;
  }

  /** Connects. Rejects with `storage`, or `config` for an address that is none. */
  static async open({ url, callMs = CALL_MS }: RedisOptions): Promise<RedisStorage> {
    if (!/^rediss?:\/\//u.test(url) || !URL.canParse(url)) {
      throw new TrusteeError("config", "storage: expected the address of Redis to begin with redis:// or rediss://");
    }
    const storage = new RedisStorage(url, callMs);
    await storage.#run("opening", (client) => client.ping());
    return storage;
  }

  async get(namespace: Namespace, key: string): Promise<Buffer | undefined> {
    checkKey(key);
    const value = await this.#run("get", async (client) => {
      const { RESP_TYPES } = await import("@redis/client");
      return await client.withTypeMapping({ [RESP_TYPES.BLOB_STRING]: Buffer }).get(`${namespace}:${key}`);
    });
    return value ?? undefined;
  }

  async set(namespace: Namespace, key: string, value: Uint8Array): Promise<void> {
    checkKey(key);
    await this.#run("set", (client) => client.set(`${namespace}:${key}`, bytes(value)));
  }

  async setNew(namespace: Namespace, key: string, value: Uint8Array): Promise<boolean> {
    checkKey(key);
    const done = await this.#run("set", (client) =>
      client.set(`${namespace}:${key}`, bytes(value), { condition: "NX" }),
    );
    return done !== null;
  }

  async delete(namespace: Namespace, key: string): Promise<boolean> {
    checkKey(key);
    return (await this.#run("delete", (client) => client.del(`${namespace}:${key}`))) === 1;
  }

  async list(namespace: Namespace): Promise<readonly string[]> {
    const prefix = `${namespace}:`;
    // A scan may name a key twice.
    const keys = new Set<string>();
    let cursor = "0";
    do {
      const found = await this.#run("list", (client) =>
        client.scan(cursor, { MATCH: `${prefix}*`, COUNT: SCAN_COUNT }),
      );
      for (const key of found.keys) keys.add(key.slice(prefix.length));
      ({ cursor } = found);
    } while (cursor !== "0");
    return [...keys];
  }

  close(): Promise<void> {
    const client = this.#client;
    this.#client = undefined;
    if (client?.isOpen === true) client.destroy();
    return Promise.resolve();
  }

  async #run<T>(operation: string, work: (client: Client) => Promise<T>): Promise<T> {
    try {
      const client = await this.#connected();
      return await within(this.#callMs, work(client), () => this.#drop(client));
    } catch (cause) {
      throw storageError(operation, cause instanceof TrusteeError ? cause : bareError(cause));
    }
  }

  async #connected(): Promise<Client> {
    if (this.#client?.isReady === true) return this.#client;
    this.#connecting ??= this.#connect().finally(() => (this.#connecting = undefined));
    return await this.#connecting;
  }

  async #connect(): Promise<Client> {
    const { createClient } = await import("@redis/client");
    // The driver's own way waits for delays to pass; here the next call connects.
    const socket = { connectTimeout: CONNECT_MS, reconnectStrategy: false } as const;
    const client: Client = createClient({ url: this.#url, name: "nacre-trustee", socket });
    // Calls see their own failures; the event must have a listener.
    client.on("error", () => this.#drop(client));
    try {
      await within(this.#callMs, client.connect(), () => this.#drop(client));
    } catch (cause) {
      this.#drop(client);
      throw cause;
    }
    this.#client = client;
    return client;
  }

  /** A connection that cannot be relied on: what waits on it fails. */
  #drop(client: Client): void {
    if (this.#client === client) this.#client = undefined;
    if (client.isOpen) client.destroy();
  }
}

function bytes(value: Uint8Array): Buffer {
  return Buffer.from(value.buffer, value.byteOffset, value.byteLength);
}
