import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";

import { type Arch, HOST_ARCH } from "./arch.ts";
import { DebianPackages } from "./debian/apt.ts";
import { type Lock, lockedPackages } from "./debian/lock.ts";
import { IMAGE_PACKAGES, KERNEL_PACKAGE } from "./debian/packages.ts";

/** Where the files of Debian packages lie on this machine. */
export interface Sources {
  readonly arch: Arch;
  /** Roots in which libraries are looked for. */
  readonly roots: readonly string[];
  /** A file of a package by its path there. Throws where it is not. */
  file(debian: string, path: string): string;
  /** The bundle of certificate authorities. */
  certificates(): Buffer;
}

const MACHINE_CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt";
const AUTHORITIES = "usr/share/ca-certificates/mozilla";

/** What is installed here: enough for a simulated guest, which runs on this machine's kernel too. */
export function machineSources(): Sources {
  const file = (debian: string, path: string): string => {
    if (!isFile(path))
      throw new Error(`${path}: expected it, which is missing; install Debian's ${debian}: \`make packages\``);
    return path;
  };
  return {
    arch: HOST_ARCH,
    roots: ["/"],
    file,
    certificates: () => readFileSync(file("ca-certificates", MACHINE_CERTIFICATES)),
  };
}

/** Locked packages, unpacked below `folder`. */
export class LockedSources implements Sources {
  readonly arch: Arch;
  readonly roots: readonly string[];
  /** The unpacked kernel package. */
  readonly kernel: string;
  readonly #unpacked: ReadonlyMap<string, string>;

  constructor(lock: Lock, arch: Arch, folder: string) {
    const debian = new DebianPackages(folder, arch);
    const packages = lockedPackages(lock, arch, [KERNEL_PACKAGE, ...IMAGE_PACKAGES]);
    this.arch = arch;
    this.#unpacked = new Map([...packages].map(([name, locked]) => [name, debian.unpacked(locked)]));
    this.kernel = this.#root(KERNEL_PACKAGE);
    this.roots = IMAGE_PACKAGES.map((name) => this.#root(name));
  }

  file(debian: string, path: string): string {
    const found = join(this.#root(debian), path);
    if (!isFile(found)) throw new Error(`${path}: expected it in Debian's ${debian}, got none`);
    return found;
  }

  /** As update-ca-certificates puts them together: each authority's file, in the order of their names. */
  certificates(): Buffer {
    const folder = join(this.#root("ca-certificates"), AUTHORITIES);
    const names = readdirSync(folder)
      .filter((name) => name.endsWith(".crt"))
      .sort();
    return Buffer.from(
      names.map((name) => `${readFileSync(join(folder, name), "latin1").trim()}\n`).join(""),
      "latin1",
    );
  }

  #root(debian: string): string {
    const root = this.#unpacked.get(debian);
    if (root === undefined) throw new Error(`${debian}: expected it in the list of the image's packages`);
    return root;
  }
}

function isFile(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isFile() === true;
}
