import { join } from "node:path";

import { readLock } from "./debian/lock.ts";
import { buildImage } from "./image/build-image.ts";
import { DEBIAN, IMAGES, LOCK } from "./paths.ts";
import { LockedSources } from "./sources.ts";

const sources = new LockedSources(readLock(LOCK), "x64", DEBIAN);
const image = await buildImage(join(IMAGES, "devkit"), "devkit", sources);
process.stdout.write(`${image.flavour}: root hash ${image.rootHash}\n`);
