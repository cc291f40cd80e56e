import { join } from "node:path";
import { parseArgs } from "node:util";

import { HOST_ARCH, parseArch } from "./arch.ts";
import { NO_BAKER, readBaker } from "./baker.ts";
import { bundle } from "./bundle.ts";
import { readLock } from "./debian/lock.ts";
import { FLAVOURS, parseFlavour } from "./flavour.ts";
import { buildImage } from "./image/build-image.ts";
import { DEBIAN, IMAGES, LOCK } from "./paths.ts";
import { fetchSources } from "./sources.ts";

/** `make rootfs`; options are named in the README. */
const { values } = parseArgs({
  options: {
    flavour: { type: "string" },
    arch: { type: "string", default: HOST_ARCH },
    baker: { type: "string" },
    out: { type: "string", default: IMAGES },
    lock: { type: "string", default: LOCK },
    initrd: { type: "boolean", default: false },
    "newest-if-gone": { type: "boolean", default: false },
  },
});

async function main(): Promise<void> {
  const flavours = values.flavour === undefined ? FLAVOURS : [parseFlavour(values.flavour)];
  const arch = parseArch(values.arch);
  const suffix = arch === HOST_ARCH ? "" : `-${arch}`;
  const baker = values.baker === undefined ? NO_BAKER : readBaker(values.baker);
  const sources = fetchSources(readLock(values.lock), arch, {
    folder: DEBIAN,
    newestIfGone: values["newest-if-gone"],
    warn: (message) => process.stderr.write(`${message}\n`),
  });
  for (const flavour of flavours) {
    await bundle(flavour);
    const { rootHash } = await buildImage(join(values.out, `${flavour}${suffix}`), {
      flavour,
      root: "disk",
      sources,
      baker,
    });
    process.stdout.write(`${flavour}${suffix}: root hash ${rootHash}\n`);
    if (!values.initrd) continue;
    const folder = join(values.out, `${flavour}${suffix}-initrd`);
    const { sha256, initramfs = "" } = await buildImage(folder, { flavour, root: "initrd", sources, baker });
    process.stdout.write(`${flavour}${suffix}-initrd: sha256 ${sha256[initramfs]}\n`);
  }
}

try {
  await main();
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
