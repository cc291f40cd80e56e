import { mkdirSync } from "node:fs";
import { dirname } from "node:path";
import { DatabaseSync, type StatementSync } from "node:sqlite";

import { checkKey, Namespace, type Storage, storageError } from "./storage.ts";

/** Milliseconds to wait for another process that has the file locked; it holds it for one row. */
const BUSY_MS = 5_000;
const SCHEMA =
  "CREATE TABLE IF NOT EXISTS kv (namespace TEXT NOT NULL, key TEXT NOT NULL, value BLOB NOT NULL, PRIMARY KEY (namespace, key)) WITHOUT ROWID, STRICT";

/** Statements of one connection. */
interface Statements {
  readonly get: StatementSync;
  readonly set: StatementSync;
  readonly setNew: StatementSync;
  readonly delete: StatementSync;
  readonly list: StatementSync;
}

/**
 * One file, in SQLite's write-ahead mode: what a call resolved for is there after a crash or a loss of power. Sessions
 * are an exception to the latter, as nobody misses one after a restart of the machine, and waiting for the disk would
 * cost each handshake milliseconds. Deleted values are overwritten in the file.
 */
export class SqliteStorage implements Storage {
  readonly #durable: DatabaseSync;
  readonly #quick: DatabaseSync;
  readonly #statements: Readonly<Record<"durable" | "quick", Statements>>;

  /** Opens or makes the file. Throws `storage`. */
  constructor(path: string) {
    try {
      mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
      this.#durable = open(path, "FULL");
      this.#durable.exec(SCHEMA);
      this.#quick = open(path, "NORMAL");
      this.#statements = { durable: prepare(this.#durable), quick: prepare(this.#quick) };
    } catch (cause) {
      throw storageError(`opening ${path}`, cause);
    }
  }

  get(namespace: Namespace, key: string): Promise<Buffer | undefined> {
    return this.#run("get", () => {
      checkKey(key);
      const row = this.#of(namespace).get.get(namespace, key);
      return row === undefined ? undefined : Buffer.from(row["value"] as Uint8Array);
    });
  }

  set(namespace: Namespace, key: string, value: Uint8Array): Promise<void> {
    return this.#run("set", () => {
      checkKey(key);
      this.#of(namespace).set.run(namespace, key, value);
    });
  }

  setNew(namespace: Namespace, key: string, value: Uint8Array): Promise<boolean> {
    return this.#run("set", () => {
      checkKey(key);
      return this.#of(namespace).setNew.run(namespace, key, value).changes === 1;
    });
  }

  delete(namespace: Namespace, key: string): Promise<boolean> {
    return this.#run("delete", () => {
      checkKey(key);
      return this.#of(namespace).delete.run(namespace, key).changes === 1;
    });
  }

  list(namespace: Namespace): Promise<readonly string[]> {
    return this.#run("list", () =>
      this.#of(namespace)
        .list.all(namespace)
        .map((row) => row["key"] as string),
    );
  }

  close(): Promise<void> {
    return this.#run("close", () => {
      this.#quick.close();
      this.#durable.close();
    });
  }

  #of(namespace: Namespace): Statements {
    return this.#statements[namespace === Namespace.SESSION ? "quick" : "durable"];
  }

  async #run<T>(operation: string, work: () => T): Promise<T> {
    try {
      return work();
    } catch (cause) {
      throw storageError(operation, cause);
    }
  }
}

function open(path: string, synchronous: "FULL" | "NORMAL"): DatabaseSync {
  const database = new DatabaseSync(path, { timeout: BUSY_MS });
  database.exec(`PRAGMA journal_mode=WAL; PRAGMA synchronous=${synchronous}; PRAGMA secure_delete=ON;`);
  return database;
}

function prepare(database: DatabaseSync): Statements {
  return {
    get: database.prepare("SELECT value FROM kv WHERE namespace = ? AND key = ?"),
    set: database.prepare(
      "INSERT INTO kv VALUES (?, ?, ?) ON CONFLICT (namespace, key) DO UPDATE SET value = excluded.value",
    ),
    setNew: database.prepare("INSERT INTO kv VALUES (?, ?, ?) ON CONFLICT DO NOTHING"),
    delete: database.prepare("DELETE FROM kv WHERE namespace = ? AND key = ?"),
    list: database.prepare("SELECT key FROM kv WHERE namespace = ?"),
  };
}
