import { existsSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";

/** Recorded vectors live outside the repository: `$NACRE_VECTORS`, else `../shared/data` beside the checkout. */
const root: string = process.env["NACRE_VECTORS"] ?? resolve(import.meta.dirname, "../../../shared/data");

/**
 * The path of one set of recorded vectors, or undefined where it is absent. A test file whose vectors are absent
 * reports that on one line and registers a check over golden bytes of our own instead, so nothing is "skipped".
 */
export function vectors(name: string): string | undefined {
  const path = join(root, name);
  if (existsSync(path)) return path;
  process.stdout.write(`absent: recorded vectors ${name} (set NACRE_VECTORS)\n`);
  return undefined;
}

/** The JSON objects of a `.jsonl` file, in order. */
export function jsonLines<T>(path: string): T[] {
  return readFileSync(path, "utf8")
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as T);
}
