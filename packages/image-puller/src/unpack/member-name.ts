import { PullError } from "../error.ts";

/** NAME_MAX of every Linux file system. */
const MAX_COMPONENT = 255;
/** Deeper trees are made to break those who walk them. */
export const MAX_DEPTH = 1024;

/** Where a member goes: a name in a directory, both relative to the root and without `.` and `..`. */
export interface MemberName {
  /** Empty for the root. */
  readonly parent: string;
  /** Empty when the member is the root itself. */
  readonly base: string;
}

/**
 * Splits a member's name (a byte string). A leading `/` means the root of the image; a `..` is refused, because no
 * honest archive has one.
 *
 * @throws PullError `unsafe` or `limit`
 */
export function parseMemberName(what: string, name: string): MemberName {
  const parts = name.split("/").filter((part) => part !== "" && part !== ".");
  if (parts.includes("..")) throw new PullError("unsafe", `${what} ${quoteName(name)} has a .. in its path`);
  if (parts.length > MAX_DEPTH) throw new PullError("limit", `${what} deeper than ${MAX_DEPTH} directories`);
  if (parts.some((part) => part.length > MAX_COMPONENT)) {
    throw new PullError("limit", `${what} with a component longer than ${MAX_COMPONENT} bytes`);
  }
  const base = parts.pop() ?? "";
  return { parent: parts.join("/"), base };
}

export function joinName({ parent, base }: MemberName): string {
  return parent === "" ? base : `${parent}/${base}`;
}

/** A name for an error message: one line, printable, not endless. */
export function quoteName(name: string): string {
  return JSON.stringify(name.length > 200 ? `${name.slice(0, 200)}…` : name);
}

/** A byte string as what the file system calls take: text where that says the same, else the bytes. */
export function systemPath(prefix: string, name: string): string | Buffer {
  const path = `${prefix}${name}`;
  return /^[\x01-\x7f]*$/.test(name) ? path : Buffer.from(path, "latin1");
}
