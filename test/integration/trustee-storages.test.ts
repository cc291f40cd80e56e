import { execFile } from "node:child_process";
import { once } from "node:events";
import { connect, createServer, type AddressInfo, type Server, type Socket } from "node:net";
import { promisify } from "node:util";

import { PostgresStorage, RedisStorage, Namespace, type Storage, TrusteeError } from "@nacre/trustee";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { Sessions } from "../../packages/trustee/src/kbs/session.ts";
import { itIsStorage } from "../../packages/trustee/test/storage/contract.ts";
import { type DatabaseServer, startPostgres, startRedis } from "../fixtures/database-server.ts";

const run = promisify(execFile);
/** Of sessions. */
const LIFETIME_MS = 1500;
const PASSWORD = "not to be shown";
const { REPOSITORY, SESSION } = Namespace;

interface Kind {
  start(): Promise<DatabaseServer>;
  /** Makes the place with this number, empty, unless it is there. */
  makePlace(server: DatabaseServer, place: number): Promise<void>;
  /** The storage of a place with this number; `port`: the server's, or of something before it. */
  open(server: DatabaseServer, place: number, port?: number, callMs?: number): Promise<Storage>;
}

const KINDS: Readonly<Record<"PostgreSQL" | "Redis", Kind>> = {
  PostgreSQL: {
    start: () => startPostgres(PASSWORD),
    makePlace: async ({ port }, place) => {
      const database = `place${place}`;
      const psql = async (command: string): Promise<string> => {
        const args = ["-h", "127.0.0.1", "-p", String(port), "-U", "postgres", "-Atq", "-c", command];
        return (await run("psql", args, { env: { ...process.env, PGPASSWORD: PASSWORD } })).stdout;
      };
      const there = await psql(`SELECT 1 FROM pg_database WHERE datname = '${database}'`);
      if (there === "") await psql(`CREATE DATABASE ${database}`);
    },
    open: async (server, place, port = server.port, callMs) => {
      await KINDS.PostgreSQL.makePlace(server, place);
      const more = callMs === undefined ? {} : { callMs };
      return await PostgresStorage.open({
        host: "127.0.0.1",
        port,
        database: `place${place}`,
        user: "postgres",
        password: PASSWORD,
        ...more,
      });
    },
  },
  Redis: {
    start: startRedis,
    makePlace: () => Promise.resolve(),
    open: (server, place, port = server.port, callMs) =>
      RedisStorage.open({ url: `redis://127.0.0.1:${port}/${place}`, ...(callMs === undefined ? {} : { callMs }) }),
  },
};

describe.each(Object.entries(KINDS))("storage in %s", (_, kind) => {
  let server: DatabaseServer;
  let places = 0;
  const open = (): Promise<Storage> => kind.open(server, places++);

  beforeAll(async () => {
    server = await kind.start();
  });
  afterAll(() => server.remove());

  itIsStorage(open);

  it("is shared by two brokers", async () => {
    const place = places++;
    const [one, other] = [await kind.open(server, place), await kind.open(server, place)];
    const made = await Promise.all([one.setNew(SESSION, "k", Buffer.of(1)), other.setNew(SESSION, "k", Buffer.of(2))]);
    expect(made.filter(Boolean)).toHaveLength(1);
    expect(await one.get(SESSION, "k")).toEqual(await other.get(SESSION, "k"));
    await Promise.all([one.close(), other.close()]);
  });

  it("keeps no session of a broker that is gone: another ends it at its time", async () => {
    const place = places++;
    const [one, other] = [await kind.open(server, place), await kind.open(server, place)];
    const failed = (error: unknown): void => expect(error).toBeUndefined();
    const start = Date.now();
    // Its clock stands: however slow the machine is, it ends none of them itself.
    const gone = await Sessions.open(one, LIFETIME_MS, () => start, failed);
    const { promise: deleted, resolve } = Promise.withResolvers<undefined>();
    const survivor = await Sessions.open(watched(other, 3, resolve), LIFETIME_MS, Date.now, failed);
    const begun = await Promise.all(["a", "b", "c"].map((nonce) => gone.begin("sample", nonce)));
    for (const session of begun.slice(1)) await gone.attested(session, "token");
    gone.close();
    await one.close();
    await deleted;
    expect(await other.list(SESSION)).toEqual([]);
    survivor.close();
    await other.close();
  });

  it("is opened by several brokers at once where there was nothing yet", async () => {
    for (let round = 0; round < 3; round++) {
      const place = places++;
      await kind.makePlace(server, place);
      const storages = await Promise.all(Array.from({ length: 6 }, () => kind.open(server, place)));
      await storages[0]?.set(REPOSITORY, "k", Buffer.of(1));
      for (const storage of storages) {
        expect(await storage.get(REPOSITORY, "k")).toEqual(Buffer.of(1));
        await storage.close();
      }
    }
  });

  it("says that the server is gone, and goes on once it is back", async () => {
    const storage = await open();
    await storage.set(REPOSITORY, "kept", Buffer.from("value"));
    await server.kill();
    const calls = [
      storage.get(REPOSITORY, "kept"),
      storage.set(REPOSITORY, "kept", Buffer.from("lost")),
      storage.setNew(REPOSITORY, "new", Buffer.from("lost")),
      storage.delete(REPOSITORY, "kept"),
      storage.list(REPOSITORY),
    ];
    for (const result of await Promise.allSettled(calls)) {
      expect(result).toMatchObject({ status: "rejected", reason: { code: "storage" } });
    }
    await server.start();
    expect(String(await storage.get(REPOSITORY, "kept"))).toBe("value");
    expect(await storage.list(REPOSITORY)).toEqual(["kept"]);
    await storage.set(REPOSITORY, "kept", Buffer.from("again"));
    expect(String(await storage.get(REPOSITORY, "kept"))).toBe("again");
    await storage.close();
  });

  it("has what was acknowledged, and no half values, after the server was killed in the middle of a write", async () => {
    const storage = await open();
    let acknowledged = -1;
    for (let n = 0, failed = false; !failed; n++) {
      const value = Buffer.alloc(500_000, n % 256);
      value.writeUInt32LE(n);
      const written = storage.set(REPOSITORY, "k", value);
      // Once it is under way.
      if (n === 7) setImmediate(() => server.process.kill("SIGKILL"));
      const [result] = await Promise.allSettled([written]);
      failed = result.status === "rejected";
      if (failed) expect(result).toMatchObject({ reason: { code: "storage" } });
      else acknowledged = n;
    }
    await server.kill();
    await server.start();
    const value = await storage.get(REPOSITORY, "k");
    const n = value?.readUInt32LE() ?? -1;
    expect(n).toBeGreaterThanOrEqual(acknowledged);
    expect(value).toHaveLength(500_000);
    expect(value?.every((byte, at) => at < 4 || byte === n % 256)).toBe(true);
    await storage.close();
  });

  it("gives up on a server that does not answer, and on its connections", async () => {
    const front = await silenceable(server.port);
    const storage = await kind.open(server, places++, front.port, 1_000);
    await storage.set(REPOSITORY, "k", Buffer.from("before"));
    front.silence();
    const calls = [storage.get(REPOSITORY, "k"), storage.set(REPOSITORY, "k", Buffer.from("after"))];
    for (const result of await Promise.allSettled(calls)) {
      expect(result).toMatchObject({ status: "rejected", reason: { code: "storage" } });
    }
    front.speak();
    // The write may have come through, or not: that was not acknowledged.
    expect(["before", "after"]).toContain(String(await storage.get(REPOSITORY, "k")));
    await storage.set(REPOSITORY, "k", Buffer.from("later"));
    expect(String(await storage.get(REPOSITORY, "k"))).toBe("later");
    await storage.close();
    await front.close();
  });

  it("shows no secret in an error", async () => {
    const storage = await open();
    await server.kill();
    const error = await storage.set(REPOSITORY, "k", Buffer.from("the resource")).catch((cause: unknown) => cause);
    expect(shown(error)).not.toMatch(/the resource|746865207265736f75726365|not to be shown/u);
    await storage.close();
    const never = await kind.open(server, 0, 1).catch((cause: unknown) => cause);
    await server.start();
    expect(never).toBeDefined();
    expect(shown(never)).not.toContain(PASSWORD);
  });
});

it("an address that is none shows no password", async () => {
  const bad = [
    RedisStorage.open({ url: `redis://:${PASSWORD}@[` }),
    RedisStorage.open({ url: `http://:${PASSWORD}@127.0.0.1` }),
    PostgresStorage.open({ url: `postgres://x:${PASSWORD}@[`, host: "", port: 1, database: "", user: "" }),
  ];
  for (const result of await Promise.allSettled(bad)) {
    expect(result).toMatchObject({ status: "rejected", reason: { code: "config" } });
    if (result.status === "rejected") expect(shown(result.reason)).not.toContain(PASSWORD);
  }
});

/** All that a log could show of an error, hidden members included. */
function shown(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const members = Object.getOwnPropertyNames(error).map((name) =>
    name === "cause" ? "" : JSON.stringify((error as unknown as Record<string, unknown>)[name]),
  );
  const more = error instanceof TrusteeError || error.cause !== undefined ? shown(error.cause) : "";
  return `${error.message} ${members.join(" ")} ${more}`;
}

/** The storage, and the moment when so many of its entries were deleted through it. */
function watched(storage: Storage, count: number, done: (value: undefined) => void): Storage {
  let deletions = 0;
  return {
    get: (...args) => storage.get(...args),
    set: (...args) => storage.set(...args),
    setNew: (...args) => storage.setNew(...args),
    list: (...args) => storage.list(...args),
    close: () => storage.close(),
    delete: async (namespace, key) => {
      const deleted = await storage.delete(namespace, key);
      if (deleted && ++deletions === count) done(undefined);
      return deleted;
    },
  };
}

/** Something before a server that passes all on, until it is told to pass nothing. */
async function silenceable(port: number): Promise<{
  readonly port: number;
  silence(): void;
  speak(): void;
  close(): Promise<void>;
}> {
  let silent = false;
  const open = new Set<Socket>();
  const front: Server = createServer((client) => {
    const back = connect(port, "127.0.0.1");
    for (const [from, to] of [
      [client, back],
      [back, client],
    ] as const) {
      open.add(from);
      from.on("error", () => {});
      from.on("data", (chunk) => silent || to.write(chunk));
      from.once("close", () => {
        open.delete(from);
        to.destroy();
      });
    }
  });
  front.listen(0, "127.0.0.1");
  await once(front, "listening");
  return {
    port: (front.address() as AddressInfo).port,
    silence: () => void (silent = true),
    speak: () => void (silent = false),
    close: async () => {
      for (const socket of open) socket.destroy();
      front.close();
      await once(front, "close");
    },
  };
}
