import { readFileSync } from "node:fs";

const PT_LOAD = 1;
const PT_DYNAMIC = 2;
const PT_INTERP = 3;
const DT_NEEDED = 1n;
const DT_STRTAB = 5n;

/** What a program or library needs at run time. */
export interface ElfNeeds {
  /** The dynamic loader, of programs only. */
  readonly interpreter: string | undefined;
  /** Names of shared libraries, as the loader looks them up. */
  readonly libraries: readonly string[];
}

interface Segment {
  readonly type: number;
  readonly offset: bigint;
  readonly address: bigint;
  readonly size: bigint;
}

/** Reads a 64-bit little-endian ELF file; undefined for anything else, such as a script. */
export function elfNeeds(path: string): ElfNeeds | undefined {
  return parseElfNeeds(readFileSync(path), path);
}

/** As {@link elfNeeds}, of bytes. Throws where an ELF file is cut off. */
export function parseElfNeeds(bytes: Buffer, path: string): ElfNeeds | undefined {
  if (bytes.length < 64 || bytes.readUInt32BE(0) !== 0x7f45_4c46 || bytes[4] !== 2 || bytes[5] !== 1) return undefined;
  try {
    const segments = readSegments(bytes);
    const interp = segments.find(({ type }) => type === PT_INTERP);
    const dynamic = segments.find(({ type }) => type === PT_DYNAMIC);
    return {
      interpreter: interp === undefined ? undefined : textAt(bytes, Number(interp.offset)),
      libraries: dynamic === undefined ? [] : neededLibraries(bytes, dynamic, segments),
    };
  } catch (cause) {
    throw new Error(`${path}: expected a whole ELF file`, { cause });
  }
}

function readSegments(bytes: Buffer): Segment[] {
  const start = Number(bytes.readBigUInt64LE(32));
  const size = bytes.readUInt16LE(54);
  const count = bytes.readUInt16LE(56);
  return Array.from({ length: count }, (_, i) => {
    const at = start + i * size;
    return {
      type: bytes.readUInt32LE(at),
      offset: bytes.readBigUInt64LE(at + 8),
      address: bytes.readBigUInt64LE(at + 16),
      size: bytes.readBigUInt64LE(at + 32),
    };
  });
}

function neededLibraries(bytes: Buffer, dynamic: Segment, segments: readonly Segment[]): string[] {
  const names: bigint[] = [];
  let table: bigint | undefined;
  for (let at = Number(dynamic.offset); at < Number(dynamic.offset + dynamic.size); at += 16) {
    const tag = bytes.readBigInt64LE(at);
    const value = bytes.readBigUInt64LE(at + 8);
    if (tag === 0n) break;
    if (tag === DT_NEEDED) names.push(value);
    if (tag === DT_STRTAB) table = value;
  }
  if (names.length === 0) return [];
  // The table's place is given as an address in memory; the segment that is loaded there knows its place in the file.
  const home = segments.find(
    ({ type, address, size }) => type === PT_LOAD && table !== undefined && table >= address && table < address + size,
  );
  if (home === undefined || table === undefined) throw new Error("expected a string table in a loaded segment");
  const strings = table - home.address + home.offset;
  return names.map((name) => textAt(bytes, Number(strings + name)));
}

function textAt(bytes: Buffer, start: number): string {
  const end = bytes.indexOf(0, start);
  if (start >= bytes.length || end < 0) throw new RangeError(`expected a text at ${start}`);
  return bytes.toString("latin1", start, end);
}

/** The bytes of a section by its name, of a 64-bit little-endian ELF file. Throws where there is none. */
export function elfSection(bytes: Buffer, name: string, path: string): Buffer {
  try {
    const start = Number(bytes.readBigUInt64LE(40));
    const [size, count, namesAt] = [58, 60, 62].map((at) => bytes.readUInt16LE(at)) as [number, number, number];
    const section = (index: number): { at: number; length: number; name: number } => ({
      name: bytes.readUInt32LE(start + index * size),
      at: Number(bytes.readBigUInt64LE(start + index * size + 24)),
      length: Number(bytes.readBigUInt64LE(start + index * size + 32)),
    });
    const names = section(namesAt);
    for (let i = 0; i < count; i++) {
      const found = section(i);
      if (textAt(bytes, names.at + found.name) !== name) continue;
      if (found.at + found.length > bytes.length) throw new RangeError(`expected ${name} within the file`);
      return bytes.subarray(found.at, found.at + found.length);
    }
  } catch (cause) {
    throw new Error(`${path}: expected a whole ELF file`, { cause });
  }
  throw new Error(`${path}: expected a section ${name}, got none`);
}
