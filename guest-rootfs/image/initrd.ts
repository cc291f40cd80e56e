import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";

import type { Entry } from "../manifest.ts";
import { cpio, type CpioEntry, S_IFCHR, S_IFDIR, S_IFLNK, S_IFREG } from "./cpio.ts";
import { type ListedEntry, placeListed } from "./verity-disk.ts";

const TYPES = { directory: S_IFDIR, file: S_IFREG, link: S_IFLNK } as const;

/** A root as one archive. */
export interface Initrd {
  readonly initramfs: Buffer;
  readonly tree: string;
  readonly entries: readonly ListedEntry[];
}

/**
 * Builds an initramfs of the entries below `work`, compressed by gzip because Kata's kernel takes nothing else. The kernel
 * starts its /init and opens its console before it mounts anything.
 */
export function buildInitrd(work: string, entries: readonly Entry[]): Initrd {
  mkdirSync(work, { recursive: true });
  const { tree, listed } = placeListed(work, [...entries, { type: "link", path: "/init", target: "sbin/init" }]);
  const archive = cpio([
    ...listed.map((entry): CpioEntry => {
      const bytes = content(tree, entry);
      return { path: entry.path.slice(1), mode: TYPES[entry.type] | Number.parseInt(entry.mode, 8), ...bytes };
    }),
    { path: "dev/console", mode: S_IFCHR | 0o600, device: { major: 5, minor: 1 } },
  ]);
  return { initramfs: gzipSync(archive, { level: 9 }), tree, entries: listed };
}

function content(tree: string, { type, path, target }: ListedEntry): { bytes?: Buffer } {
  if (type === "file") return { bytes: readFileSync(join(tree, path)) };
  return type === "link" ? { bytes: Buffer.from(target ?? "") } : {};
}
