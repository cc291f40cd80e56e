import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";

import { type Arch, DEBIAN_ARCH, HOST_ARCH } from "./arch.ts";
import { DebianPackages, PackageGone } from "./debian/apt.ts";
import { type Lock, lockChanges, type LockedPackage, lockedPackages } from "./debian/lock.ts";
import { IMAGE_PACKAGES, lockedNames } from "./debian/packages.ts";
import { debianOrigin, type Source } from "./origin.ts";

/** Where the files of Debian packages lie on this machine. */
export interface Sources {
  readonly arch: Arch;
  /** Folders that look like a root, in which libraries are searched. */
  readonly roots: readonly Source[];
  /** A file of a package by its path there. Throws where it is not. */
  file(debian: string, path: string): Source;
  /** The certificate authorities in one text, and whose text it is. */
  certificates(): { readonly content: Buffer; readonly origin: string };
}

const MACHINE_CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt";
const AUTHORITIES = "usr/share/ca-certificates/mozilla";

/** What is installed here: enough for a simulated guest, which runs on this machine's kernel too. */
export function machineSources(): Sources {
  const file = (debian: string, path: string): Source => {
    if (!isFile(path)) {
      throw new Error(`${path}: expected it, which is missing; install Debian's ${debian}: \`make packages\``);
    }
    return { path, origin: debianOrigin(debian) };
  };
  return {
    arch: HOST_ARCH,
    roots: [{ path: "/", origin: "pkg:generic/debian" }],
    file,
    certificates: () => {
      const { path, origin } = file("ca-certificates", MACHINE_CERTIFICATES);
      return { content: readFileSync(path), origin };
    },
  };
}

/** Locked packages, unpacked below `folder`. */
export class LockedSources implements Sources {
  readonly arch: Arch;
  readonly roots: readonly Source[];
  readonly locked: boolean;
  /** SHA-256 of each package's file, by package URL. */
  readonly digests: ReadonlyMap<string, string>;
  readonly #unpacked: ReadonlyMap<string, Source>;

  /** `folder` is where packages are kept, of any lock; `locked` is false for a lock that was made just now. */
  constructor(lock: Lock, arch: Arch, folder: string, locked = true) {
    const debian = new DebianPackages(folder, arch);
    const packages = lockedPackages(lock, arch, lockedNames(arch));
    this.arch = arch;
    this.locked = locked;
    const originOf = ({ name, version }: LockedPackage): string => debianOrigin(name, version, DEBIAN_ARCH[arch]);
    this.#unpacked = new Map(
      unpackAll(debian, packages).map(([key, path, locked]) => [key, { path, origin: originOf(locked) }]),
    );
    this.digests = new Map([...packages.values()].map((locked) => [originOf(locked), locked.sha256]));
    this.roots = IMAGE_PACKAGES.map((name) => this.package(name));
  }

  /** The unpacked files of a package. */
  package(debian: string): Source {
    const root = this.#unpacked.get(debian);
    if (root === undefined) throw new Error(`${debian}: expected it in the list of the image's packages`);
    return root;
  }

  file(debian: string, path: string): Source {
    const { path: root, origin } = this.package(debian);
    const found = join(root, path);
    if (!isFile(found)) throw new Error(`${path}: expected it in Debian's ${debian}, got none`);
    return { path: found, origin };
  }

  /** As update-ca-certificates puts them together: each authority's file, in the order of their names. */
  certificates(): { readonly content: Buffer; readonly origin: string } {
    const { path, origin } = this.package("ca-certificates");
    const folder = join(path, AUTHORITIES);
    const names = readdirSync(folder).filter((name) => name.endsWith(".crt"));
    const texts = names.sort().map((name) => `${readFileSync(join(folder, name), "latin1").trim()}\n`);
    return { content: Buffer.from(texts.join(""), "latin1"), origin };
  }
}

/** Each package's unpacked files. Throws {@link PackageGone} for all together that the archive has dropped. */
function unpackAll(
  debian: DebianPackages,
  packages: ReadonlyMap<string, LockedPackage>,
): [key: string, path: string, locked: LockedPackage][] {
  const gone: string[] = [];
  const unpacked = [...packages].flatMap(([key, locked]): [string, string, LockedPackage][] => {
    try {
      return [[key, debian.unpacked(locked), locked]];
    } catch (error) {
      if (!(error instanceof PackageGone)) throw error;
      gone.push(error.message);
      return [];
    }
  });
  if (gone.length > 0) throw new PackageGone(gone.join("\n"));
  return unpacked;
}

/** Where packages are kept on this machine, and what to do when the archive has dropped one of the lock. */
export interface FetchOptions {
  readonly folder: string;
  /** Take what the archive has now, and say so: for tests, which an update of Debian's must not break. */
  readonly newestIfGone: boolean;
  readonly warn: (message: string) => void;
}

/** The packages of a lock, fetched. Throws {@link PackageGone} unless told to take newer ones. */
export function fetchSources(lock: Lock, arch: Arch, { folder, newestIfGone, warn }: FetchOptions): LockedSources {
  try {
    return new LockedSources(lock, arch, folder);
  } catch (error) {
    if (!newestIfGone || !(error instanceof PackageGone)) throw error;
    warn(`${error.message}\nUNLOCKED: building with what Debian has now; the digests are not those of the lock.`);
    const fresh = { [DEBIAN_ARCH[arch]]: new DebianPackages(folder, arch).resolve(lockedNames(arch)) };
    for (const change of lockChanges(lock, { ...lock, ...fresh })) warn(`UNLOCKED: ${change}`);
    return new LockedSources(fresh, arch, folder, false);
  }
}

function isFile(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isFile() === true;
}
