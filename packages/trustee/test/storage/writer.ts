/** A process that overwrites one value for ever and says after each that it is kept: for tests that kill it. */
import { writeSync } from "node:fs";
import { join } from "node:path";

import { LocalFsStorage } from "../../src/storage/local-fs.ts";
import { SqliteStorage } from "../../src/storage/sqlite.ts";
import { Namespace } from "../../src/storage/storage.ts";

const [, , kind, folder = ""] = process.argv;
const storage = kind === "SQLite" ? new SqliteStorage(join(folder, "trustee.db")) : await LocalFsStorage.open(folder);
for (let n = 0; ; n++) {
  const value = Buffer.alloc(200_000, n % 256);
  value.writeUInt32LE(n);
  await storage.set(Namespace.REPOSITORY, "k", value);
  writeSync(1, `${n}\n`);
}
