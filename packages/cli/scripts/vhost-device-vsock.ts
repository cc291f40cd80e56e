import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { cpSync, existsSync, globSync, mkdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import { homedir } from "node:os";
import { join, resolve } from "node:path";

/**
 * `make vhost-device-vsock`: builds build/tools/vhost-device-vsock, which gives QEMU guests vsock on machines whose kernel
 * has no /dev/vhost-vsock, and where they are to be the same on all machines: in tests.
 */

const ROOT = resolve(import.meta.dirname, "../../..");
const PIN = resolve(import.meta.dirname, "../vhost-device-vsock");
const PROGRAM = join(ROOT, "build/tools/vhost-device-vsock");
const TARGETS: Readonly<Record<string, string>> = {
  x64: "x86_64-unknown-linux-gnu",
  arm64: "aarch64-unknown-linux-gnu",
};
/** Debian 12's `cargo` is too old; its security archive has a newer one under this name, which is `cargo` all the same. */
const COMPILERS: readonly string[] = ["/usr/bin/cargo", join(cargoHome(), "bin/cargo")];
/** What the lock file's own crates ask for. */
const OLDEST_MINOR = 85;

function cargoHome(): string {
  return process.env["CARGO_HOME"] ?? join(homedir(), ".cargo");
}

function cargo(): string {
  for (const path of COMPILERS) {
    if (!existsSync(path)) continue;
    const minor = Number(/^cargo 1\.(\d+)\./u.exec(execFileSync(path, ["--version"], { encoding: "utf8" }))?.[1]);
    if (minor >= OLDEST_MINOR) return path;
  }
  throw new Error(`expected cargo 1.${OLDEST_MINOR} or newer: apt-get install cargo-web rustc-web`);
}

function build(stamp: string): void {
  const compiler = cargo();
  const target = TARGETS[process.arch] ?? "";
  // Sources whose digests are not those of the lock file are refused here.
  execFileSync(compiler, ["fetch", "--locked", "--quiet", "--target", target], { cwd: PIN, stdio: "inherit" });
  const version = /name = "vhost-device-vsock"\nversion = "([^"]+)"/u.exec(
    readFileSync(join(PIN, "Cargo.lock"), "utf8"),
  )?.[1];
  const [source] = globSync(join(cargoHome(), `registry/src/*/vhost-device-vsock-${version}`));
  if (source === undefined) throw new Error(`expected the sources of vhost-device-vsock ${version}, got none`);
  const work = join(ROOT, "build/vhost-device-vsock");
  rmSync(work, { recursive: true, force: true });
  cpSync(source, work, { recursive: true });
  const env = { ...process.env, RUSTC: compiler.replace(/cargo$/u, "rustc") };
  execFileSync(compiler, ["build", "--release", "--locked", "--quiet"], { cwd: work, env, stdio: "inherit" });
  mkdirSync(join(ROOT, "build/tools"), { recursive: true });
  renameSync(join(work, "target/release/vhost-device-vsock"), `${PROGRAM}.new`);
  renameSync(`${PROGRAM}.new`, PROGRAM);
  rmSync(work, { recursive: true });
  cpSync(join(PIN, "Cargo.lock"), stamp);
}

const stamp = `${PROGRAM}.lock`;
const sha256 = (path: string): string => createHash("sha256").update(readFileSync(path)).digest("hex");
if (!existsSync(PROGRAM) || !existsSync(stamp) || sha256(stamp) !== sha256(join(PIN, "Cargo.lock"))) {
  build(stamp);
}
