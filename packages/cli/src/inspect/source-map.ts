import { readFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { pathToFileURL } from "node:url";

/** Bundles in the guest, by the addresses that its debugger gives them. */
const BUNDLE = /^file:\/\/\/usr\/lib\/nacre\/([a-z-]+\.mjs)$/u;

/** The name of a bundle; undefined for any other script. */
export function bundleOf(url: string): string | undefined {
  return BUNDLE.exec(url)?.[1];
}

/**
 * A bundle's source map with the absolute places of the sources on this machine, so that a debugger opens the files that
 * are edited; undefined when there is none. The image holds no maps, nor the names of any.
 */
export function sourceMap(folder: string, bundle: string): string | undefined {
  const path = join(folder, `${bundle}.map`);
  let map: { readonly sources: readonly string[] };
  try {
    map = JSON.parse(readFileSync(path, "utf8")) as typeof map;
  } catch {
    return undefined;
  }
  const sources = map.sources.map((source) => pathToFileURL(resolve(dirname(path), source)).href);
  return JSON.stringify({ ...map, sources });
}
