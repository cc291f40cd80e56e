import { closeSync, createReadStream, createWriteStream, openSync, statSync, truncateSync, writeSync } from "node:fs";
import { pipeline } from "node:stream/promises";

import { SECTOR_SIZE } from "./verity.ts";

/** Where partitions begin: at whole MiB, the first at 1 MiB. */
const ALIGNMENT = 1 << 20;
const LINUX = 0x83;

/** One partition: where it begins and how long it is, in bytes. */
export interface Partition {
  readonly start: number;
  readonly size: number;
}

/**
 * Writes a disk with an MBR and one partition a file, in their order. Kata's builder also rounds the disk up to
 * 128 MiB, which a guest would pay for in memory and gets nothing from.
 */
export async function writeDisk(disk: string, files: readonly string[]): Promise<readonly Partition[]> {
  const partitions: Partition[] = [];
  let end = ALIGNMENT;
  for (const file of files) {
    const { size } = statSync(file);
    partitions.push({ start: end, size: roundUp(size, SECTOR_SIZE) });
    end = roundUp(end + size, ALIGNMENT);
  }
  const fd = openSync(disk, "w", 0o644);
  writeSync(fd, mbr(partitions));
  closeSync(fd);
  truncateSync(disk, end);
  for (const [i, file] of files.entries()) {
    const start = partitions[i]?.start ?? 0;
    await pipeline(createReadStream(file), createWriteStream(disk, { flags: "r+", start }));
  }
  return partitions;
}

/** The first sector: no boot code, no disk signature (nothing may tell two builds apart), up to four partitions. */
export function mbr(partitions: readonly Partition[]): Buffer {
  if (partitions.length > 4) throw new Error(`MBR: expected at most 4 partitions, got ${partitions.length}`);
  const sector = Buffer.alloc(SECTOR_SIZE);
  for (const [i, { start, size }] of partitions.entries()) {
    const at = 446 + i * 16;
    // Cylinders, heads and sectors say "beyond what they can tell": everybody reads the sector numbers.
    sector.set([0, 0xfe, 0xff, 0xff, LINUX, 0xfe, 0xff, 0xff], at);
    sector.writeUInt32LE(start / SECTOR_SIZE, at + 8);
    sector.writeUInt32LE(size / SECTOR_SIZE, at + 12);
  }
  sector.writeUInt16BE(0x55aa, 510);
  return sector;
}

function roundUp(value: number, to: number): number {
  return Math.ceil(value / to) * to;
}
