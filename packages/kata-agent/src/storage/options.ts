import { internalError } from "../error.ts";

/** The largest group id; -1 as unsigned means "no change" to the kernel. */
const MAX_GID = 0xffff_fffe;

/** Storage options of upstream's own, taken out of those that go to mount. */
export interface StorageOptions {
  /** `fsgid=`: the group that owns the folder; it then is setgid. */
  readonly fsGid: number | undefined;
  /** `mode=` in octal, permission bits only. */
  readonly mode: number | undefined;
  readonly rest: readonly string[];
}

/** Parses `fsgid=N` and `mode=OCTAL`; the last of each counts. Throws INTERNAL when one is not a number in range. */
export function parseStorageOptions(options: readonly string[]): StorageOptions {
  let fsGid: number | undefined;
  let mode: number | undefined;
  const rest: string[] = [];
  for (const option of options) {
    const [key, value] = splitOnce(option);
    if (key === "fsgid" && value !== undefined) fsGid = parseGid(value);
    else if (key === "mode" && value !== undefined) mode = parseMode(value);
    else rest.push(option);
  }
  return { fsGid, mode, rest };
}

function splitOnce(option: string): [string, string | undefined] {
  const at = option.indexOf("=");
  return at === -1 ? [option, undefined] : [option.slice(0, at), option.slice(at + 1)];
}

function parseGid(text: string): number {
  const gid = /^[0-9]{1,10}$/.test(text) ? Number(text) : Number.NaN;
  if (!(gid <= MAX_GID)) throw internalError(`fsgid: expected a group id, got ${text}`);
  return gid;
}

function parseMode(text: string): number {
  if (!/^[0-7]{1,5}$/.test(text)) throw internalError(`mode: expected an octal number, got ${text}`);
  return Number.parseInt(text, 8) & 0o7777;
}
