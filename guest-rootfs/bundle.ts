import { copyFileSync, mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { basename, join, relative } from "node:path";

import { build } from "esbuild";

import { koffiNativePath, NATIVE_NAME } from "../packages/kata-sys-util/scripts/koffi-native.ts";
import { BUNDLES, ROOT, SOURCE_MAPS } from "./paths.ts";

/** Started by the kernel through its first line, which has room for one flag: no debugger may be opened by a signal. */
const SHEBANG = "#!/usr/bin/node --disable-sigusr1";

/** A file of the guest that is bundled from a package. */
interface Entry {
  readonly name: string;
  readonly source: string;
  /** Programs begin with the interpreter's line; a worker's file is only loaded. */
  readonly program: boolean;
}

export const ENTRIES: readonly Entry[] = [
  { name: "nvrc", source: "packages/nvrc/src/main.ts", program: true },
  { name: "nvrc-simulated", source: "packages/nvrc/src/main-simulated.ts", program: true },
  { name: "kata-agent", source: "packages/kata-agent/src/main.ts", program: true },
  { name: "confidential-data-hub", source: "packages/confidential-data-hub/src/main.ts", program: true },
  { name: "unpack-worker", source: "packages/image-puller/src/unpack-worker.ts", program: false },
  { name: "inspector-relay", source: "packages/vsock/src/inspector-relay.ts", program: false },
];

/** Bundles every daemon; the same sources give the same bytes, wherever the repository lies. */
export async function bundle(bundles: string = BUNDLES, sourceMaps: string = SOURCE_MAPS): Promise<void> {
  mkdirSync(bundles, { recursive: true });
  mkdirSync(sourceMaps, { recursive: true });
  const made = new Set<string>();
  for (const entry of ENTRIES) {
    const result = await build({
      absWorkingDir: ROOT,
      entryPoints: { [entry.name]: entry.source },
      outdir: relative(ROOT, bundles),
      outExtension: { ".js": ".mjs" },
      bundle: true,
      platform: "node",
      format: "esm",
      target: "node24",
      conditions: ["source"],
      // One character beyond Latin-1 would make V8 keep the whole source in two bytes a character.
      charset: "ascii",
      // Stacks name functions as the source does; the maps have the rest.
      keepNames: false,
      minifySyntax: true,
      minifyWhitespace: true,
      sourcemap: "external",
      legalComments: "none",
      define: { NACRE_FLAVOUR: '"devkit"' },
      ...(entry.program ? { banner: { js: SHEBANG } } : {}),
      write: false,
      logLevel: "warning",
    });
    for (const file of result.outputFiles) {
      const name = basename(file.path);
      if (name.endsWith(".map")) writeFileSync(join(sourceMaps, name), file.contents);
      else writeFileSync(join(bundles, name), file.contents, { mode: 0o755 });
      made.add(name);
    }
  }
  copyFileSync(koffiNativePath(), join(bundles, NATIVE_NAME));
  copyFileSync(join(ROOT, "packages/regorus-wasm/regorus.wasm"), join(bundles, "regorus.wasm"));
  made.add(NATIVE_NAME).add("regorus.wasm");
  for (const folder of [bundles, sourceMaps]) {
    for (const name of readdirSync(folder)) if (!made.has(name)) rmSync(join(folder, name), { recursive: true });
  }
}

if (import.meta.main) await bundle();
