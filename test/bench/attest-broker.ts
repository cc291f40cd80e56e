/**
 * A broker for the bench: SQLite, a resource that everybody attested gets. argv: a folder, seconds that sessions live.
 * Prints its port. A line on standard input asks how many sessions are kept; it answers once the last has ended.
 */
import { createInterface } from "node:readline";

import { freshTrustee, Namespace, startTrustee } from "@nacre/trustee";

const [, , folder = "", seconds = "300"] = process.argv;
const options = await freshTrustee({ folder, host: "127.0.0.1", port: 0, insecureHttp: true, log: () => {} });
const { storage } = options;
const sessionMinutes = Number(seconds) / 60;
const trustee = await startTrustee({ ...options, sessionMinutes });
await storage.set(
  Namespace.KBS,
  "resource-policy.rego",
  Buffer.from('package policy\nallow if data.plugin == "resource"\n'),
);
await storage.set(Namespace.REPOSITORY, "bench/key/one", Buffer.alloc(32, 7));
process.stdout.write(`${trustee.servers[0]?.port}\n`);
for await (const _ of createInterface({ input: process.stdin })) {
  // The broker's own timer comes a millisecond after the end of each.
  await new Promise((done) => void setTimeout(done, Number(seconds) * 1000 + 250));
  process.stdout.write(`${(await storage.list(Namespace.SESSION)).length}\n`);
}
await trustee.close();
