import { PullError } from "../error.ts";
import { parseNumber } from "./number.ts";

export const BLOCK = 512;

/**
 * One member of an archive. Names and link targets are byte strings (`latin1`: one character a byte), because a file
 * name need not be UTF-8.
 */
export interface TarHeader {
  readonly name: string;
  readonly link: string;
  /** The type flag as a character. */
  readonly type: string;
  /** Permission bits with set-id and sticky. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Bytes of data that follow. */
  readonly size: number;
  /** Seconds since 1970, may have a fraction. */
  readonly mtime: number;
  readonly major: number;
  readonly minor: number;
  /** Extended attributes by full name. */
  readonly xattrs: ReadonlyMap<string, Uint8Array>;
}

const NO_XATTRS: ReadonlyMap<string, Uint8Array> = new Map();

export function isZeroBlock(block: Uint8Array): boolean {
  return block.every((byte) => byte === 0);
}

/**
 * Decodes one 512-byte header: V7, ustar, GNU or star.
 *
 * @throws PullError `tar` when the checksum is wrong or a field is malformed.
 */
export function parseHeader(block: Buffer): TarHeader {
  verifyChecksum(block);
  const magic = block.toString("latin1", 257, 265);
  const ustar = magic.startsWith("ustar\0");
  const gnu = magic === "ustar  \0";
  const star = ustar && block.toString("latin1", 508, 512) === "tar\0";
  const prefix = gnu || !ustar ? "" : text(block, 345, star ? 131 : 155);
  const name = text(block, 0, 100);
  const hasDevice = ustar || gnu;
  return {
    name: prefix === "" ? name : `${prefix}/${name}`,
    link: text(block, 157, 100),
    type: block.toString("latin1", 156, 157),
    mode: parseNumber("mode", block.subarray(100, 108)) & 0o7777,
    uid: parseNumber("uid", block.subarray(108, 116)),
    gid: parseNumber("gid", block.subarray(116, 124)),
    size: parseNumber("size", block.subarray(124, 136)),
    mtime: parseNumber("mtime", block.subarray(136, 148)),
    major: hasDevice ? parseNumber("device major", block.subarray(329, 337)) : 0,
    minor: hasDevice ? parseNumber("device minor", block.subarray(337, 345)) : 0,
    xattrs: NO_XATTRS,
  };
}

/** The sum over the header with its own field as spaces; old writers summed signed bytes. */
function verifyChecksum(block: Buffer): void {
  const expected = parseNumber("checksum", block.subarray(148, 156));
  let sum = 8 * 0x20;
  let high = 0;
  for (let at = 0; at < BLOCK; at += 1) {
    if (at === 148) at = 156;
    const byte = block[at] ?? 0;
    sum += byte;
    high += byte >> 7;
  }
  if (sum !== expected && sum - high * 256 !== expected) {
    throw new PullError("tar", `tar header: checksum ${expected}, expected ${sum}`);
  }
}

function text(block: Buffer, at: number, length: number): string {
  const end = block.indexOf(0, at);
  return block.toString("latin1", at, end < 0 || end > at + length ? at + length : end);
}
