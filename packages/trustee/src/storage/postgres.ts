import type { Row, RowList, Sql } from "postgres";

import { TrusteeError } from "../error.ts";
import { bareError, CALL_MS, CONNECT_MS, within } from "./deadline.ts";
import { checkKey, type Namespace, NAMESPACES, type Storage, storageError } from "./storage.ts";

/** Where the server is: fields of upstream's file, or the address in POSTGRES_URL, which comes first. */
export interface PostgresOptions {
  readonly url?: string;
  readonly host: string;
  readonly port: number;
  readonly database: string;
  readonly user: string;
  readonly password?: string;
  /** Milliseconds that a call may take; for tests. */
  readonly callMs?: number;
}

/** As many as upstream has. */
const CONNECTIONS = 5;
/** unique_violation in the catalogue, duplicate_table, duplicate_object (the table's type). */
const MADE_MEANWHILE: ReadonlySet<string> = new Set(["23505", "42P07", "42710"]);

/**
 * Upstream's tables: one a namespace, `key TEXT PRIMARY KEY, value BYTEA`. A call is one statement, so that a value is
 * there whole or not at all; what it resolved for is in the server's log on disk. A connection that broke is replaced
 * by the next call.
 */
export class PostgresStorage implements Storage {
  readonly #connect: () => Sql;
  readonly #callMs: number;
  #sql: Sql | undefined;

  private constructor(connect: () => Sql, callMs: number) {
    this.#connect = connect;
    this.#callMs = callMs;
  }

  /** Connects, and makes the tables that are missing. Rejects with `storage`, or `config` for an address that is none. */
  static async open(options: PostgresOptions): Promise<PostgresStorage> {
    const { default: postgres } = await import("postgres");
    const { url, host, port, database, user, password, callMs = CALL_MS } = options;
    const common = {
      max: CONNECTIONS,
      connect_timeout: CONNECT_MS / 1000,
      // Whoever calls next tries at once; nobody waits for a delay to pass.
      backoff: () => 0,
      fetch_types: false,
      onnotice: () => {},
      connection: { application_name: "nacre-trustee", statement_timeout: callMs },
    };
    const connect = (): Sql => {
      try {
        return url === undefined
          ? postgres({ ...common, host, port, database, user, ...(password === undefined ? {} : { password }) })
          : postgres(url, common);
      } catch {
        // The driver's message shows the address, and the password in it.
        throw new TrusteeError("config", "storage: expected POSTGRES_URL to be an address of PostgreSQL");
      }
    };
    const storage = new PostgresStorage(connect, callMs);
    try {
      await storage.#makeTables();
    } catch (error) {
      await storage.close();
      throw error;
    }
    return storage;
  }

  async get(namespace: Namespace, key: string): Promise<Buffer | undefined> {
    checkKey(key);
    const [row] = await this.#run("get", (sql) => sql`SELECT value FROM ${sql(namespace)} WHERE key = ${key}`);
    return row === undefined ? undefined : (row["value"] as Buffer);
  }

  async set(namespace: Namespace, key: string, value: Uint8Array): Promise<void> {
    checkKey(key);
    await this.#run(
      "set",
      (sql) =>
        sql`INSERT INTO ${sql(namespace)} (key, value) VALUES (${key}, ${bytes(value)}) ON CONFLICT (key) DO UPDATE SET value = excluded.value`,
    );
  }

  async setNew(namespace: Namespace, key: string, value: Uint8Array): Promise<boolean> {
    checkKey(key);
    const { count } = await this.#run(
      "set",
      (sql) =>
        sql`INSERT INTO ${sql(namespace)} (key, value) VALUES (${key}, ${bytes(value)}) ON CONFLICT (key) DO NOTHING`,
    );
    return count === 1;
  }

  async delete(namespace: Namespace, key: string): Promise<boolean> {
    checkKey(key);
    const { count } = await this.#run("delete", (sql) => sql`DELETE FROM ${sql(namespace)} WHERE key = ${key}`);
    return count === 1;
  }

  async list(namespace: Namespace): Promise<readonly string[]> {
    const rows = await this.#run("list", (sql) => sql`SELECT key FROM ${sql(namespace)}`);
    return rows.map((row) => row["key"] as string);
  }

  async close(): Promise<void> {
    const sql = this.#sql;
    this.#sql = undefined;
    await sql?.end({ timeout: CONNECT_MS / 1000 });
  }

  async #makeTables(): Promise<void> {
    const there = await this.#run(
      "opening",
      (sql) => sql`SELECT tablename FROM pg_tables WHERE schemaname = ANY (current_schemas(false))`,
    );
    const names = new Set(there.map((row) => row["tablename"] as string));
    for (const namespace of NAMESPACES) {
      // Who may not make tables may still use those that an administrator made.
      if (names.has(namespace)) continue;
      await this.#run("opening", (sql) => makeTable(sql, namespace));
    }
  }

  async #run(operation: string, query: (sql: Sql) => PromiseLike<RowList<Row[]>>): Promise<RowList<Row[]>> {
    const sql = (this.#sql ??= this.#connect());
    try {
      return await within(this.#callMs, Promise.resolve(query(sql)), () => this.#drop(sql));
    } catch (cause) {
      throw storageError(operation, cause instanceof TrusteeError ? cause : bareError(cause));
    }
  }

  /** Connections to a server that does not answer: later calls would stand in their queues. */
  #drop(sql: Sql): void {
    if (this.#sql === sql) this.#sql = undefined;
    void sql.end({ timeout: 0 });
  }
}

/** The server looks whether the table is there before it waits for whoever makes it: the loser finds it the second time. */
async function makeTable(sql: Sql, namespace: Namespace): Promise<RowList<Row[]>> {
  const make = (): PromiseLike<RowList<Row[]>> =>
    sql`CREATE TABLE IF NOT EXISTS ${sql(namespace)} (key TEXT PRIMARY KEY, value BYTEA NOT NULL)`;
  try {
    return await make();
  } catch (cause) {
    if (!MADE_MEANWHILE.has(String((cause as { readonly code?: unknown }).code))) throw cause;
    return await make();
  }
}

function bytes(value: Uint8Array): Buffer {
  return Buffer.from(value.buffer, value.byteOffset, value.byteLength);
}
