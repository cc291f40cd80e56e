import { readFileSync } from "node:fs";

/** Of this init; the same as the package's. */
export const VERSION = "0.1.0";

/** Of the bundle that runs (section 1.1, steps 0 and 7): a digest to compare with a rebuild, no security control. */
export function versionLine(file: string): string {
  // Loaded here: a boot that does not tell the digest does without the library behind it.
  const { hash } = process.getBuiltinModule("node:crypto");
  return `version=${VERSION} sha256=${hash("sha256", readFileSync(file), "hex")}`;
}
