import { globSync } from "node:fs";
import { resolve } from "node:path";

import { ROOT } from "../paths.ts";
import { IncrementalBundles, SourceError } from "./incremental.ts";
import { folderPlace, imagePlace } from "./places.ts";
import { SourceWatcher } from "./source-watcher.ts";

// `nacre guest start --watch` runs this and is told by messages (packages/cli/src/watch/builder.ts has their types).
const [kind = ""] = process.argv.slice(2);
const folder = resolve(ROOT, "build/watch/nacre");
const place = kind === "qemu" ? imagePlace() : folderPlace(folder);
const bundles = await IncrementalBundles.open(place.entries);
const watcher = new SourceWatcher();

/** Built, and not where the guest takes it from. */
let unplaced = new Set<string>();

process.on("disconnect", () => process.exit(0));
watcher.follow(packageSources());
for (let because: ReadonlySet<string> = new Set(); ; because = await watcher.next()) {
  const began = performance.now();
  const told = { because: [...because].sort() };
  try {
    const { changed } = await bundles.rebuild(because);
    for (const name of changed) unplaced.add(name);
    // Sources that came with the change, too.
    watcher.follow(packageSources().union(bundles.inputs));
    if (unplaced.size === 0) continue;
    const files = await place.place(bundles, [...unplaced]);
    unplaced = new Set();
    process.send?.({ ...told, files, folder, milliseconds: performance.now() - began });
  } catch (error) {
    // An editor that writes a file in two steps is in the middle of it.
    await new Promise((turn) => setImmediate(turn));
    if (watcher.pending) continue;
    const failed = error instanceof SourceError || !(error instanceof Error) ? String(error) : (error.stack ?? "");
    process.send?.({ ...told, failed: failed.replace(/^SourceError: /u, "") });
  }
}

/** All sources of our own: which of them a bundle needs is known only when it has been built. */
function packageSources(): Set<string> {
  return new Set(globSync("packages/*/src/**/*.ts", { cwd: ROOT }));
}
