import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, renameSync, statSync } from "node:fs";
import { join, resolve } from "node:path";

const root = resolve(import.meta.dirname, "../..");
const source = join(root, "test/go");

/** Debian 12's Go, then whatever `go` is on the path. */
const COMPILERS = ["/usr/lib/go-1.19/bin/go", "/usr/bin/go", "go"];

/** The folder of .proto files that the Go programs parse when they start. */
export const protosDir: string = join(root, "protos");

/**
 * The path of the Go peer (`test/go`), built when a source is newer than the binary. Throws with the compiler's output.
 * Debian's packages `golang-go` and, once, the Go module proxy are needed.
 */
export function goPeer(): string {
  const binary = join(root, "build/ttrpc-peer");
  const newest = Math.max(...readdirSync(source).map((name) => statSync(join(source, name)).mtimeMs));
  if (existsSync(binary) && statSync(binary).mtimeMs >= newest) return binary;
  const go = COMPILERS.find((path) => !path.startsWith("/") || existsSync(path)) as string;
  mkdirSync(join(root, "build"), { recursive: true });
  // Under a name of its own until it is whole: another test run may start the old one meanwhile.
  const fresh = `${binary}.${process.pid}`;
  const built = spawnSync(go, ["build", "-buildvcs=false", "-o", fresh, "."], {
    cwd: source,
    encoding: "utf8",
    env: { ...process.env, GOTOOLCHAIN: "local", CGO_ENABLED: "0" },
  });
  if (built.status !== 0) {
    throw new Error(`expected ${go} to build test/go (apt-get install golang-go): ${built.error ?? built.stderr}`);
  }
  renameSync(fresh, binary);
  return binary;
}
