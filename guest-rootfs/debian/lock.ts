import { readFileSync, renameSync, writeFileSync } from "node:fs";

import { type Arch, DEBIAN_ARCH } from "../arch.ts";

/** One Debian package, exactly. */
export interface LockedPackage {
  /** As Debian names it; for a metapackage in the list the one that it stands for. */
  readonly name: string;
  readonly version: string;
  /** Of the .deb file, in hex. */
  readonly sha256: string;
  readonly size: number;
}

/** By Debian's architecture, then by the name in the list of packages. */
export type Lock = Readonly<Record<string, Readonly<Record<string, LockedPackage>>>>;

const HEX256 = /^[0-9a-f]{64}$/u;
const NAME = /^[a-z0-9][a-z0-9.+-]*$/u;
const VERSION = /^[0-9][A-Za-z0-9.+~:-]*$/u;

/** Reads a lock. Throws for an unknown key or anything that is not a name, a version, a digest or a size. */
export function parseLock(text: string, path: string): Lock {
  const value: unknown = JSON.parse(text);
  for (const [arch, packages] of entries(value, path)) {
    for (const [key, entry] of entries(packages, `${path}: ${arch}`)) checkPackage(entry, `${path}: ${arch}: ${key}`);
  }
  return value as Lock;
}

function entries(value: unknown, where: string): [string, unknown][] {
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw new Error(`${where}: expected an object`);
  return Object.entries(value);
}

function checkPackage(value: unknown, where: string): void {
  const found = Object.fromEntries(entries(value, where));
  const { name, version, sha256, size, ...others } = found;
  if (Object.keys(others).length > 0) throw new Error(`${where}: unknown key ${Object.keys(others)[0]}`);
  if (typeof name !== "string" || !NAME.test(name)) throw new Error(`${where}: expected a package's name`);
  if (typeof version !== "string" || !VERSION.test(version)) throw new Error(`${where}: expected a version`);
  if (typeof sha256 !== "string" || !HEX256.test(sha256)) throw new Error(`${where}: expected a sha256 digest`);
  if (!Number.isSafeInteger(size) || (size as number) <= 0) throw new Error(`${where}: expected a size`);
}

export function readLock(path: string): Lock {
  return parseLock(readFileSync(path, "utf8"), path);
}

/** Sorted, so that two resolutions of the same packages are the same bytes. */
export function writeLock(path: string, lock: Lock): void {
  const sorted = Object.fromEntries(
    Object.entries(lock)
      .sort(byKey)
      .map(([arch, packages]) => [arch, Object.fromEntries(Object.entries(packages).sort(byKey))]),
  );
  writeFileSync(`${path}.new`, `${JSON.stringify(sorted, undefined, 2)}\n`);
  renameSync(`${path}.new`, path);
}

function byKey([a]: readonly [string, unknown], [b]: readonly [string, unknown]): number {
  return a < b ? -1 : 1;
}

/** The locked packages of an architecture. Throws where one of the list is missing. */
export function lockedPackages(lock: Lock, arch: Arch, names: readonly string[]): ReadonlyMap<string, LockedPackage> {
  const packages = lock[DEBIAN_ARCH[arch]] ?? {};
  return new Map(
    names.map((name) => {
      const found = packages[name];
      if (found === undefined) {
        throw new Error(`${name}: expected it in the lock for ${DEBIAN_ARCH[arch]}; run \`make rootfs-update\``);
      }
      return [name, found];
    }),
  );
}

/** What a new lock moves, one line a package. */
export function lockChanges(before: Lock, after: Lock): readonly string[] {
  const flat = (lock: Lock): Map<string, LockedPackage> =>
    new Map(
      Object.entries(lock).flatMap(([arch, packages]) =>
        Object.entries(packages).map(([name, entry]) => [`${name} (${arch})`, entry] as const),
      ),
    );
  const [old, fresh] = [flat(before), flat(after)];
  const shown = (entry: LockedPackage | undefined, other: LockedPackage | undefined): string => {
    if (entry === undefined) return "none";
    return entry.name === other?.name || other === undefined ? entry.version : `${entry.name} ${entry.version}`;
  };
  return [...new Set([...old.keys(), ...fresh.keys()])].sort().flatMap((key) => {
    const [was, is] = [old.get(key), fresh.get(key)];
    if (was?.sha256 === is?.sha256) return [];
    return [`${key}: ${shown(was, is)} -> ${shown(is, was)}`];
  });
}
