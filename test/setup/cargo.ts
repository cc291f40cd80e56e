import { spawnSync } from "node:child_process";
import { join, resolve } from "node:path";

const root = resolve(import.meta.dirname, "../..");

/**
 * The path of a Rust program under `test/`, built in release; undefined where there is no cargo. Throws with the
 * compiler's output. Once, the crates of its lock file are had from the registry.
 */
export function cargoPeer(folder: string, name: string): string | undefined {
  if (spawnSync("cargo", ["--version"]).error !== undefined) return undefined;
  const target = join(root, "build", name);
  const built = spawnSync("cargo", ["build", "--release", "--locked", "--quiet", "--target-dir", target], {
    cwd: join(root, folder),
    encoding: "utf8",
  });
  if (built.status !== 0) throw new Error(`expected cargo to build ${folder}: ${built.stderr}`);
  return join(target, "release", name);
}
