import { dirname, resolve } from "node:path";

/** The repository. */
export const ROOT: string = resolve(import.meta.dirname, "..");
/** The daemons as single files, with what they load beside them. */
export const BUNDLES: string = resolve(ROOT, "build/bundles");
/** Source maps stay out of the image: a stack can be read with them, an attacker gains nothing from the image. */
export const SOURCE_MAPS: string = resolve(ROOT, "build/source-maps");
/** The guest's root directory, ready to be mounted. */
export const TREE: string = resolve(ROOT, "build/guest-rootfs/tree");
/** What the tree holds: path, mode, source and digest of every entry. */
export const RESOLVED_MANIFEST: string = resolve(ROOT, "build/guest-rootfs/manifest.json");
/** Programs that are compiled here. */
export const PROGRAMS: string = resolve(ROOT, "build/guest-programs");

/** The folder of an installed npm package. */
export function packageFolder(name: string): string {
  return dirname(resolve(ROOT, "node_modules", name, "package.json"));
}

/** Images, a folder each. */
export const IMAGES: string = resolve(ROOT, "build/images");
/** Debian's packages, unpacked and never installed. */
export const DEBIAN: string = resolve(ROOT, "build/debian");
/** Versions and digests of Debian's packages. */
export const LOCK: string = resolve(ROOT, "guest-rootfs/lock.json");
/** npm packages of the other architecture, fetched and not installed. */
export const NPM_PACKAGES: string = resolve(ROOT, "build/npm");
