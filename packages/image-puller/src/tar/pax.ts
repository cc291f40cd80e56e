import { PullError } from "../error.ts";
import type { TarHeader } from "./header.ts";

const XATTR = "SCHILY.xattr.";
/** Values that are used as names must not end early when they become C strings. */
const NAMES: ReadonlySet<string> = new Set(["path", "linkpath"]);

/**
 * Decodes the records of a pax extended header (POSIX.1-2008, "pax Extended Header"): `length key=value\n`.
 * Keys are byte strings; a later record of one key replaces an earlier one.
 *
 * @throws PullError `tar` when a record does not have this form.
 */
export function parsePax(data: Buffer): ReadonlyMap<string, Buffer> {
  const records = new Map<string, Buffer>();
  for (let at = 0; at < data.length;) {
    const space = data.indexOf(0x20, at);
    const digits = space < 0 ? "" : data.toString("latin1", at, Math.min(space, at + 12));
    const end = at + Number(digits);
    if (!/^[0-9]{1,10}$/.test(digits) || end > data.length || data[end - 1] !== 0x0a) {
      throw new PullError("tar", "pax header: a record has a wrong length");
    }
    const equals = data.indexOf(0x3d, space + 1);
    if (equals < 0 || equals >= end - 1 || equals === space + 1) {
      throw new PullError("tar", "pax header: a record is not key=value");
    }
    const key = data.toString("latin1", space + 1, equals);
    const value = data.subarray(equals + 1, end - 1);
    if (key.includes("\0") || (NAMES.has(key) && value.includes(0))) {
      throw new PullError("tar", `pax header: ${key} has a NUL byte`);
    }
    records.set(key, value);
    at = end;
  }
  return records;
}

/**
 * A header with its extended records applied. An empty value takes the record back, as POSIX says, but an extended
 * attribute may be empty.
 *
 * @throws PullError `tar` for a malformed value, `unsupported` for sparse files.
 */
export function applyPax(header: TarHeader, records: ReadonlyMap<string, Buffer>): TarHeader {
  const changes: { -readonly [K in keyof TarHeader]?: TarHeader[K] } = {};
  const xattrs = new Map<string, Uint8Array>();
  for (const [key, value] of records) {
    if (key.startsWith("GNU.sparse.")) throw new PullError("unsupported", "sparse files in an archive");
    if (key.startsWith(XATTR)) {
      xattrs.set(key.slice(XATTR.length), value);
      continue;
    }
    if (value.length === 0) continue;
    if (key === "path") changes.name = value.toString("latin1");
    else if (key === "linkpath") changes.link = value.toString("latin1");
    else if (key === "size" || key === "uid" || key === "gid") changes[key] = wholeNumber(key, value);
    else if (key === "mtime") changes.mtime = seconds(value);
  }
  return { ...header, ...changes, xattrs };
}

function wholeNumber(key: string, value: Buffer): number {
  const text = value.toString("latin1", 0, 20);
  const number = Number(text);
  if (!/^[0-9]+$/.test(text) || !Number.isSafeInteger(number)) {
    throw new PullError("tar", `pax header: ${key} is not a number`);
  }
  return number;
}

function seconds(value: Buffer): number {
  const text = value.toString("latin1", 0, 40);
  if (!/^-?[0-9]{1,15}(?:\.[0-9]*)?$/.test(text)) throw new PullError("tar", "pax header: mtime is not a time");
  return Number(text);
}
