import { copyFileSync, mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { basename, join, relative } from "node:path";

import { build, type BuildOptions } from "esbuild";

import { koffiNativePath, NATIVE_NAME } from "../packages/kata-sys-util/scripts/koffi-native.ts";
import { builtins } from "./builtins.ts";
import { bundlesOf, type Flavour } from "./flavour.ts";
import { npmOrigin, npmPackageOf } from "./origin.ts";
import { ROOT } from "./paths.ts";

/** Started by the kernel through its first line, which has room for one flag: no debugger may be opened by a signal. */
const SHEBANG = "#!/usr/bin/node --disable-sigusr1";

/** A file of the guest that is bundled from a package. */
export interface Entry {
  readonly name: string;
  readonly source: string;
  /** Programs begin with the interpreter's line; a worker's file is only loaded. */
  readonly program: boolean;
  /** Whether only the devkit's guests have it. */
  readonly devkitOnly?: boolean;
}

export const ENTRIES: readonly Entry[] = [
  { name: "nvrc", source: "packages/nvrc/src/main.ts", program: true },
  { name: "nvrc-simulated", source: "packages/nvrc/src/main-simulated.ts", program: true },
  { name: "kata-agent", source: "packages/kata-agent/src/main.ts", program: true },
  { name: "attestation-agent", source: "packages/attestation-agent/src/main.ts", program: true },
  { name: "grpc-server", source: "packages/vsock/src/grpc-server.ts", program: false },
  { name: "api-server-rest", source: "packages/api-server-rest/src/main.ts", program: true },
  { name: "confidential-data-hub", source: "packages/confidential-data-hub/src/main.ts", program: true },
  { name: "kms-clients", source: "packages/confidential-data-hub/src/kms/clients.ts", program: false },
  { name: "image-signatures", source: "packages/image-puller/src/signature/gate.ts", program: false },
  { name: "unpack-worker", source: "packages/image-puller/src/unpack-worker.ts", program: false },
  { name: "inspector-relay", source: "packages/vsock/src/inspector-relay.ts", program: false, devkitOnly: true },
  { name: "serial-bridge", source: "packages/vsock/src/serial-bridge.ts", program: false, devkitOnly: true },
];

/** What a flavour's guests have of them. */
export function entriesOf(flavour: Flavour): readonly Entry[] {
  return ENTRIES.filter(({ devkitOnly }) => flavour === "devkit" || devkitOnly !== true);
}

/**
 * Bundles every daemon; the same sources give the same bytes, wherever the repository lies. Which npm packages each
 * bundle holds is written beside the folder, for the bill of materials.
 */
export async function bundle(
  flavour: Flavour = "devkit",
  { bundles, sourceMaps }: { bundles: string; sourceMaps: string } = bundlesOf(flavour),
): Promise<void> {
  mkdirSync(bundles, { recursive: true });
  mkdirSync(sourceMaps, { recursive: true });
  const made = new Set<string>();
  const contents: Record<string, readonly string[]> = {};
  for (const entry of entriesOf(flavour)) {
    const result = await build(bundleOptions(entry, flavour, bundles));
    contents[`${entry.name}.mjs`] = packagesOf(Object.keys(result.metafile.inputs));
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
  writeFileSync(contentsOf(bundles), `${JSON.stringify(contents, undefined, 1)}\n`);
  for (const folder of [bundles, sourceMaps]) {
    for (const name of readdirSync(folder)) if (!made.has(name)) rmSync(join(folder, name), { recursive: true });
  }
}

/** How one file of the guest is bundled: the same whether once or again and again. */
export function bundleOptions(
  entry: Entry,
  flavour: Flavour,
  bundles: string,
): BuildOptions & { readonly write: false; readonly metafile: true } {
  return {
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
    define: { NACRE_FLAVOUR: JSON.stringify(flavour), "performance.now": "monotonicMs" },
    inject: [join(import.meta.dirname, "monotonic-ms.ts")],
    plugins: [builtins],
    metafile: true,
    ...(entry.program ? { banner: { js: SHEBANG } } : {}),
    write: false,
    logLevel: "warning",
  };
}

/** Of what was bundled, whose it is. */
function packagesOf(inputs: readonly string[]): readonly string[] {
  const names = inputs.flatMap((input) => npmPackageOf(input) ?? []);
  return [...new Set(names)].sort().map(npmOrigin);
}

/** Where {@link bundle} says which npm packages are in which bundle: file name to package URLs. */
export function contentsOf(bundles: string): string {
  return `${bundles}.contents.json`;
}

if (import.meta.main) await bundle();
