import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync, mkdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, describe, expect, it } from "vitest";

import { LocalFsStorage } from "../../src/storage/local-fs.ts";
import { MemoryStorage } from "../../src/storage/memory.ts";
import { SqliteStorage } from "../../src/storage/sqlite.ts";
import { Namespace, type Storage } from "../../src/storage/storage.ts";
import { itIsStorage } from "./contract.ts";

const home = mkdtempSync(join(tmpdir(), "nacre-storage-"));
afterAll(() => rmSync(home, { recursive: true }));
let next = 0;
const fresh = (): string => join(home, String(next++));

describe("storage in memory", () => itIsStorage(() => Promise.resolve(new MemoryStorage())));
describe("storage in SQLite", () => itIsStorage(() => Promise.resolve(new SqliteStorage(join(fresh(), "trustee.db")))));
describe("storage in a folder", () => itIsStorage(() => LocalFsStorage.open(fresh())));

describe("the folder's layout", () => {
  it("is upstream's, in both directions", async () => {
    const folder = fresh();
    mkdirSync(join(folder, "repository"), { recursive: true });
    writeFileSync(join(folder, "repository", String.raw`one\x2Ftwo\x2Fthree`), "secret");
    const storage = await LocalFsStorage.open(folder);
    expect(String(await storage.get(Namespace.REPOSITORY, "one/two/three"))).toBe("secret");
    await storage.set(Namespace.REPOSITORY, "a/b/c", Buffer.from("x"));
    expect(readFileSync(join(folder, "repository", String.raw`a\x2Fb\x2Fc`), "utf8")).toBe("x");
    expect(readdirSync(folder).toSorted()).toEqual([".unfinished", "repository"]);
    expect(readdirSync(join(folder, ".unfinished"))).toEqual([]);
  });

  it.each(["..", ".", "", "a:b", "a b", "a\0", "a\\x2Fb", "ü", "x".repeat(513)])(
    "has no place for the key %j",
    async (key) => {
      const storage = await LocalFsStorage.open(fresh());
      await expect(storage.set(Namespace.REPOSITORY, key, Buffer.from("x"))).rejects.toMatchObject({ code: "request" });
      await expect(storage.get(Namespace.REPOSITORY, key)).rejects.toMatchObject({ code: "request" });
    },
  );

  it("keeps what was there when a write fails, and nothing of the rest", async () => {
    const folder = fresh();
    const storage = await LocalFsStorage.open(folder);
    await storage.set(Namespace.KBS, "k", Buffer.from("before"));
    rmSync(join(folder, ".unfinished"), { recursive: true });
    await expect(storage.set(Namespace.KBS, "k", Buffer.from("after"))).rejects.toMatchObject({ code: "storage" });
    expect(String(await storage.get(Namespace.KBS, "k"))).toBe("before");
    expect(readdirSync(join(folder, "kbs"))).toEqual(["k"]);
  });
});

describe.each([
  ["SQLite", (path: string): Promise<Storage> => Promise.resolve(new SqliteStorage(join(path, "trustee.db")))],
  ["a folder", (path: string): Promise<Storage> => LocalFsStorage.open(path)],
])("storage in %s", (name, open) => {
  it("has what was acknowledged, and no half values, after its process was killed", async () => {
    const folder = fresh();
    for (let round = 0; round < 3; round++) {
      const child = spawn(
        process.execPath,
        ["--conditions=source", join(import.meta.dirname, "writer.ts"), name, folder],
        {
          stdio: ["ignore", "pipe", "inherit"],
        },
      );
      let acknowledged = -1;
      let text = "";
      child.stdout.setEncoding("utf8").on("data", (chunk: string) => {
        text += chunk;
        const lines = text.split("\n");
        text = lines.pop() ?? "";
        acknowledged = Number(lines.at(-1) ?? acknowledged);
        // In the middle of whatever it writes now.
        if (acknowledged >= 20 + 7 * round) child.kill("SIGKILL");
      });
      await once(child, "close");
      const storage = await open(folder);
      const value = await storage.get(Namespace.REPOSITORY, "k");
      const n = value?.readUInt32LE() ?? -1;
      expect(n).toBeGreaterThanOrEqual(acknowledged);
      expect(value).toHaveLength(200_000);
      expect(value?.every((byte, at) => at < 4 || byte === n % 256)).toBe(true);
      expect(await storage.list(Namespace.REPOSITORY)).toEqual(["k"]);
      await storage.close();
    }
  });
});
