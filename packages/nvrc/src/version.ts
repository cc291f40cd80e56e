import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";

/** Of this init; the same as the package's. */
export const VERSION = "0.1.0";

/** What is printed when it is not started as init (section 1.1, step 0): a smoke test, and a digest to compare. */
export function versionLine(file: string): string {
  return `NVRC version=${VERSION} sha256=${createHash("sha256").update(readFileSync(file)).digest("hex")}`;
}
