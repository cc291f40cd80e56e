import { readFileSync } from "node:fs";
import { join } from "node:path";

import type { Arch } from "./arch.ts";

/** In the guest: what the launcher has read before Node asks for it. */
export const NODE_PAGES = "/usr/lib/nacre/node-pages";
/** What {@link NODE_PAGES} is made of: `node` is the version that was measured, the other keys architectures. */
export const MEASURED_PAGES: string = join(import.meta.dirname, "node-pages.json");

/** A page of the file cache, and how many of them the list counts as one: what a fault maps at once. */
export const PAGE_SIZE = 4096;
export const BLOCK_PAGES = 16;
/** Of the launcher's buffer (NODE_PAGES_SIZE in launcher.c), which holds two numbers of 32 bits a range. */
export const MAX_RANGES = 512;

/** Blocks of a file: the first, and how many. */
export interface BlockRange {
  readonly first: number;
  readonly count: number;
}

interface MeasuredPages {
  readonly node: string;
  readonly x64?: string;
  readonly arm64?: string;
}

export function measuredPages(): MeasuredPages {
  return JSON.parse(readFileSync(MEASURED_PAGES, "utf8")) as MeasuredPages;
}

/** The guest's file for an architecture; undefined where nobody has measured one. */
export function nodePages(arch: Arch): Buffer | undefined {
  const text = measuredPages()[arch];
  return text === undefined ? undefined : encodeRanges(parseRanges(text));
}

/** Reads `0-3 7 9-12`: blocks in rising order. */
export function parseRanges(text: string): readonly BlockRange[] {
  let next = 0;
  return text.split(" ").map((part) => {
    const [, from = "", to = from] = /^(\d{1,6})(?:-(\d{1,6}))?$/u.exec(part) ?? [];
    const [first, last] = [Number(from), Number(to)];
    if (from === "" || first < next || last < first) throw new Error(`blocks: expected rising ranges, got ${part}`);
    next = last + 1;
    return { first, count: last - first + 1 };
  });
}

/** What {@link parseRanges} reads, of any blocks. */
export function formatRanges(blocks: Iterable<number>): string {
  const ranges: [number, number][] = [];
  for (const block of [...new Set(blocks)].sort((a, b) => a - b)) {
    const last = ranges.at(-1);
    if (last?.[1] === block - 1) last[1] = block;
    else ranges.push([block, block]);
  }
  return ranges.map(([from, to]) => (from === to ? String(from) : `${from}-${to}`)).join(" ");
}

/** As launcher.c reads it: the first page and the number of pages, 32 bits each in the order of x86_64 and aarch64. */
function encodeRanges(ranges: readonly BlockRange[]): Buffer {
  if (ranges.length > MAX_RANGES) throw new Error(`expected at most ${MAX_RANGES} ranges, got ${ranges.length}`);
  const bytes = Buffer.alloc(ranges.length * 8);
  for (const [index, { first, count }] of ranges.entries()) {
    bytes.writeUInt32LE(first * BLOCK_PAGES, index * 8);
    bytes.writeUInt32LE(count * BLOCK_PAGES, index * 8 + 4);
  }
  return bytes;
}
