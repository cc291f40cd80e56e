import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";

import type { Entry } from "../manifest.ts";
import { placeTree, type ResolvedEntry } from "../tree.ts";
import { writeDisk } from "./disk.ts";
import { makeErofs } from "./erofs.ts";
import { formatVerity, type VerityParams } from "./verity.ts";

/** What an image's manifest says of a path. */
export interface ListedEntry extends Omit<ResolvedEntry, "source" | "stamp"> {
  /** `uid:gid`. */
  readonly owner: string;
}

/** A disk with a file system of the entries and its hash tree. */
export interface VerityDisk {
  readonly disk: string;
  /** The folder that the file system was made of. */
  readonly tree: string;
  readonly params: VerityParams;
  readonly entries: readonly ListedEntry[];
}

/** What is kept from build to build of a file, out of the way of whoever looks through the images. */
export function workFolder(file: string): string {
  return join(dirname(file), ".work", basename(file));
}

/** Puts the entries into a folder below `work`; answers with it, and with what a manifest says of them. */
export function placeListed(
  work: string,
  entries: readonly Entry[],
): { readonly tree: string; readonly listed: readonly ListedEntry[] } {
  const tree = join(work, "root");
  const listed = placeTree(entries, tree, join(work, "placed.json")).map(
    ({ source: _source, stamp: _stamp, ...entry }): ListedEntry => ({ ...entry, owner: "0:0" }),
  );
  return { tree, listed };
}

/** Builds the disk below `work`; made anew only where an entry has changed. */
export async function buildVerityDisk(work: string, entries: readonly Entry[]): Promise<VerityDisk> {
  const at = (name: string): string => join(work, name);
  const [disk, done] = [at("disk.img"), at("done.json")];
  mkdirSync(work, { recursive: true });
  const { tree, listed } = placeListed(work, entries);
  const content = JSON.stringify(listed);
  const key = createHash("sha256").update(content).digest("hex");
  if (existsSync(done) && existsSync(disk)) {
    const before = JSON.parse(readFileSync(done, "utf8")) as { key: string; params: VerityParams };
    if (before.key === key) return { disk, tree, params: before.params, entries: listed };
  }
  rmSync(done, { force: true });
  makeErofs(tree, at("root.erofs"), content);
  const params = await formatVerity(at("root.erofs"), at("root.verity"));
  await writeDisk(disk, [at("root.erofs"), at("root.verity")]);
  for (const name of ["root.erofs", "root.verity"]) rmSync(at(name));
  writeFileSync(done, JSON.stringify({ key, params }));
  return { disk, tree, params, entries: listed };
}
