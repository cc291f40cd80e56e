import { copyFileSync, mkdirSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { koffiNativePath, NATIVE_NAME } from "../../packages/kata-sys-util/scripts/koffi-native.ts";
import { bundle, type Entry, entriesOf } from "../bundle.ts";
import { NO_BAKER } from "../baker.ts";
import { readLock } from "../debian/lock.ts";
import { buildImage } from "../image/build-image.ts";
import { DEBIAN, IMAGES, LOCK, ROOT, SOURCE_MAPS } from "../paths.ts";
import { HOST_ARCH } from "../arch.ts";
import { fetchSources } from "../sources.ts";
import type { IncrementalBundles } from "./incremental.ts";

/** Where a kind of guest takes its daemons from. */
export interface Place {
  /** What is bundled for it. */
  readonly entries: readonly Entry[];
  /** Puts there what has changed, and names the files of /usr/lib/nacre that are others now. */
  place(bundles: IncrementalBundles, changed: readonly string[]): Promise<readonly string[]>;
}

/** Bundles that take another name in a simulated guest; of a virtual machine's init it has no use. */
const SIMULATED_NAMES: Readonly<Record<string, string>> = { "nvrc-simulated": "nvrc" };

/** A folder that simulated guests see as /usr/lib/nacre. Files are replaced as a whole: guests run on it. */
export function folderPlace(folder: string): Place {
  const replace = (path: string, write: (fresh: string) => void): void => {
    write(`${path}.new`);
    renameSync(`${path}.new`, path);
  };
  let complete = false;
  return {
    entries: entriesOf("devkit").filter(({ name }) => name !== "nvrc"),
    place: async (bundles, changed) => {
      mkdirSync(folder, { recursive: true });
      mkdirSync(SOURCE_MAPS, { recursive: true });
      const files = changed.map((name) => {
        const file = `${SIMULATED_NAMES[name] ?? name}.mjs`;
        const { code, map } = bundles.output(name);
        replace(join(folder, file), (fresh) => writeFileSync(fresh, code, { mode: 0o755 }));
        replace(join(SOURCE_MAPS, `${name}.mjs.map`), (fresh) => writeFileSync(fresh, map));
        return file;
      });
      if (!complete) {
        replace(join(folder, NATIVE_NAME), (fresh) => copyFileSync(koffiNativePath(), fresh));
        replace(join(folder, "regorus.wasm"), (fresh) =>
          copyFileSync(join(ROOT, "packages/regorus-wasm/regorus.wasm"), fresh),
        );
        complete = true;
      }
      return await Promise.resolve(files);
    },
  };
}

/** The devkit's measured image, whole and anew each time: its root hash is of all files. */
export function imagePlace(): Place {
  return {
    entries: entriesOf("devkit").filter(({ name }) => name !== "nvrc-simulated"),
    place: async (_bundles, changed) => {
      const warn = (message: string): void => void process.stderr.write(`${message}\n`);
      // What is tried here is the developer's own; a package that the archive has dropped is no reason to stop.
      const options = { folder: DEBIAN, newestIfGone: true, warn };
      const sources = fetchSources(readLock(LOCK), HOST_ARCH, options);
      await bundle("devkit");
      await buildImage(join(IMAGES, "devkit"), { flavour: "devkit", sources, baker: NO_BAKER });
      return changed.map((name) => `${name}.mjs`);
    },
  };
}
