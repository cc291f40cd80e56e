import { rmSync } from "node:fs";
import { resolve } from "node:path";

import { build } from "esbuild";

const PACKAGE = resolve(import.meta.dirname, "..");
const OUTPUT = resolve(PACKAGE, "bundle");

/**
 * The command and the programs that it starts as a few files: Node looks for, reads and compiles each module by itself,
 * and there are some three hundred of them. All files lie in one folder, where each finds its neighbours.
 */
rmSync(OUTPUT, { recursive: true, force: true });
await build({
  absWorkingDir: PACKAGE,
  entryPoints: ["src/main.ts", "src/guest/supervisor-main.ts", "src/guest/stage-main.ts"],
  outdir: "bundle",
  entryNames: "[name]",
  chunkNames: "chunk-[hash]",
  bundle: true,
  splitting: true,
  platform: "node",
  format: "esm",
  target: "node24",
  conditions: ["source"],
  // Not a module of the language; loaded by those who debug a daemon.
  external: ["ws"],
  // Packages in the older form of modules ask for Node's own by this name, which a module does not have.
  banner: { js: 'import { createRequire } from "node:module"; const require = createRequire(import.meta.url);' },
  legalComments: "none",
  logLevel: "warning",
});
