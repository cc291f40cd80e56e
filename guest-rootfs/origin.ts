import { readFileSync } from "node:fs";
import { join, relative } from "node:path";

import { lockedNpmPackage } from "./npm-package.ts";
import { ROOT } from "./paths.ts";

/**
 * Bytes on this machine, and whose they are: a package URL (purl) such as `pkg:deb/debian/crun@1.8.1-1+deb12u1?arch=amd64`,
 * which stays the same wherever the image is built.
 */
export interface Source {
  readonly path: string;
  readonly origin: string;
}

/** Files that whoever bakes the image has added. */
export const BAKER_ORIGIN = "pkg:generic/baker";

const versionOf = (folder: string): string => {
  const { version } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8")) as { version: string };
  return version;
};

/** This project: its sources, its bundles, and the texts of the manifest. */
export const OWN_ORIGIN: string = `pkg:generic/nacre@${versionOf(ROOT)}`;

export function own(path: string): Source {
  return { path, origin: OWN_ORIGIN };
}

export function debianOrigin(name: string, version?: string, arch?: string): string {
  const at = version === undefined ? "" : `@${version.replaceAll("+", "%2B")}`;
  return `pkg:deb/debian/${name}${at}${arch === undefined ? "" : `?arch=${arch}`}`;
}

/** A file of an installed npm package. */
export function npmSource(name: string, path: string): Source {
  return { path, origin: npmOrigin(name) };
}

export function npmOrigin(name: string): string {
  return `pkg:npm/${name.replace("@", "%40")}@${lockedNpmPackage(name).version}`;
}

/** The npm package that a file below node_modules belongs to. */
export function npmPackageOf(file: string): string | undefined {
  const path = relative(ROOT, join(ROOT, file));
  return /(?:^|\/)node_modules\/((?:@[^/]+\/)?[^/]+)\/(?!.*node_modules\/)/u.exec(path)?.[1];
}
