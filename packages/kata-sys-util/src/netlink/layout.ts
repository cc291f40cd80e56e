import { Errno } from "../errno.ts";
import { SysError } from "../error.ts";

/** Messages, attributes and their payloads start at multiples of four bytes. */
export function align(size: number): number {
  return (size + 3) & ~3;
}

/** What was to fit into the bytes that were left, and what its length said. */
export function malformed(expected: string, got: number): SysError {
  return new SysError("parse", 0, "netlink", `netlink: expected ${expected} that fits, got ${got}`);
}

/** A text that the kernel would cut at its first NUL is refused with SysError EINVAL. */
export function cText(text: string): Buffer {
  if (text.includes("\0")) {
    throw new SysError("EINVAL", Errno.EINVAL, "netlink", `netlink: expected no NUL in ${JSON.stringify(text)}`);
  }
  return Buffer.from(`${text}\0`);
}

export function readCText(value: Buffer): string {
  const end = value.indexOf(0);
  return value.toString("utf8", 0, end < 0 ? value.length : end);
}
