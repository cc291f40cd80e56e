import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";

import { type Arch, DEBIAN_ARCH } from "../arch.ts";
import type { Lock, LockedPackage } from "./lock.ts";

const APT_GET = "/usr/bin/apt-get";
const APT_CACHE = "/usr/bin/apt-cache";
const DPKG_DEB = "/usr/bin/dpkg-deb";

/** The archive no longer has locked versions: it keeps only the newest of a release. One line for each. */
export class PackageGone extends Error {}

/**
 * Debian's packages of one architecture, by apt with state of its own below `folder`: the machine's mirrors and keys,
 * but neither its list of installed packages nor its architecture. Nothing is installed.
 */
export class DebianPackages {
  readonly #folder: string;
  readonly #arch: Arch;
  #updated = false;

  constructor(folder: string, arch: Arch) {
    this.#folder = join(folder, DEBIAN_ARCH[arch]);
    this.#arch = arch;
  }

  /** Asks the archive what it has now. */
  update(): void {
    for (const name of ["state/lists/partial", "cache/archives/partial", "debs"]) {
      mkdirSync(join(this.#folder, name), { recursive: true });
    }
    execFileSync(APT_GET, [...this.#options(), "update", "-qq"], { stdio: ["ignore", "inherit", "inherit"] });
    this.#updated = true;
  }

  /** The newest version of each package; a metapackage is followed to what it stands for. */
  resolve(names: readonly string[]): Lock[string] {
    return Object.fromEntries(names.map((name) => [name, this.#newest(name)]));
  }

  /**
   * The unpacked files of a package. Fetched where it is not here already; the file's digest decides, whatever the
   * archive says. Throws when the archive no longer has the version.
   */
  unpacked(locked: LockedPackage): string {
    const folder = join(this.#folder, "unpacked", locked.sha256.slice(0, 16));
    if (existsSync(folder)) return folder;
    const fresh = `${folder}.${process.pid}`;
    rmSync(fresh, { recursive: true, force: true });
    mkdirSync(fresh, { recursive: true });
    execFileSync(DPKG_DEB, ["--extract", this.#deb(locked), fresh], { stdio: ["ignore", "inherit", "inherit"] });
    renameSync(fresh, folder);
    return folder;
  }

  #deb(locked: LockedPackage): string {
    const path = join(this.#folder, "debs", `${locked.sha256}.deb`);
    if (!existsSync(path)) this.#fetch(locked, path);
    const digest = createHash("sha256").update(readFileSync(path)).digest("hex");
    if (digest !== locked.sha256) {
      rmSync(path);
      throw new Error(`${locked.name}=${locked.version}: expected sha256 ${locked.sha256}, got ${digest}`);
    }
    return path;
  }

  #fetch(locked: LockedPackage, path: string): void {
    const download = join(this.#folder, `download.${process.pid}`);
    mkdirSync(download, { recursive: true });
    try {
      if (!this.#tryDownload(locked, download)) {
        // The lists may be older than the lock.
        if (!this.#updated) this.update();
        if (!this.#tryDownload(locked, download)) throw this.#gone(locked);
      }
      const [name] = readdirSync(download);
      if (name === undefined) throw this.#gone(locked);
      mkdirSync(join(path, ".."), { recursive: true });
      renameSync(join(download, name), path);
    } finally {
      rmSync(download, { recursive: true });
    }
  }

  #tryDownload({ name, version }: LockedPackage, folder: string): boolean {
    try {
      const args = [...this.#options(), "download", "-qq", `${name}=${version}`];
      execFileSync(APT_GET, args, { cwd: folder, stdio: ["ignore", "ignore", "pipe"] });
      return true;
    } catch {
      return false;
    }
  }

  #gone({ name, version }: LockedPackage): PackageGone {
    return new PackageGone(
      `${name}=${version} (${DEBIAN_ARCH[this.#arch]}): expected it in Debian's archive, which no longer has it; ` +
        "run `make rootfs-update` to lock what it has now",
    );
  }

  #newest(name: string): LockedPackage {
    const fields = this.#show(name);
    // linux-image-cloud-amd64 and its like hold nothing; the image's own name changes with every release.
    const meta = /^linux-image-(?:cloud-)?[a-z0-9]+$/u.test(name);
    const real = meta ? /^(linux-image-[^ ,]+)/u.exec(fields.get("Depends") ?? "")?.[1] : name;
    if (real === undefined) throw new Error(`${name}: expected a dependency on a kernel image`);
    const found = real === name ? fields : this.#show(real);
    const [version, sha256, size] = ["Version", "SHA256", "Size"].map((key) => found.get(key));
    if (version === undefined || sha256 === undefined || size === undefined) {
      throw new Error(`${real}: expected version, digest and size in apt's lists`);
    }
    return { name: real, version, sha256, size: Number(size) };
  }

  #show(name: string): ReadonlyMap<string, string> {
    const args = [...this.#options(), "show", "--no-all-versions", name];
    const text = execFileSync(APT_CACHE, args, { encoding: "utf8", stdio: ["ignore", "pipe", "inherit"] });
    return new Map(
      text.split("\n").flatMap((line) => {
        const [, key, value] = /^([A-Za-z0-9-]+): (.*)$/u.exec(line) ?? [];
        return key === undefined || value === undefined ? [] : [[key, value] as const];
      }),
    );
  }

  #options(): string[] {
    const arch = DEBIAN_ARCH[this.#arch];
    const settings = {
      "APT::Architecture": arch,
      "APT::Architectures": arch,
      "Dir::State": join(this.#folder, "state"),
      "Dir::State::status": "/dev/null",
      "Dir::Cache": join(this.#folder, "cache"),
      // As root apt would hand its downloads to a user that may not enter this folder.
      "APT::Sandbox::User": "root",
      "Acquire::Languages": "none",
    };
    return Object.entries(settings).flatMap(([key, value]) => ["-o", `${key}=${value}`]);
  }
}
