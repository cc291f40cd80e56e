import { PullError } from "../error.ts";

/** XATTR_NAME_MAX and XATTR_SIZE_MAX of the kernel. */
const MAX_NAME = 255;
const MAX_VALUE = 65536;

/** What overlayfs keeps its own records in. */
const OVERLAY = /^(?:trusted|user)\.overlay\./;

/**
 * The attributes of a member that are set on its file. Overlayfs's own are not among them: archives made from an
 * overlay's upper directory carry them, and in a lower layer they would redirect one file to another.
 */
export function storableXattrs(xattrs: ReadonlyMap<string, Uint8Array>): readonly (readonly [string, Uint8Array])[] {
  if (xattrs.size === 0) return [];
  return [...xattrs].filter(([name, value]) => {
    if (name.length > MAX_NAME || value.length > MAX_VALUE || name.includes("\0")) {
      throw new PullError("limit", "an extended attribute longer than the kernel takes");
    }
    return !OVERLAY.test(name);
  });
}
