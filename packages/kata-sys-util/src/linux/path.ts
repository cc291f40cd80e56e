import { Errno } from "../errno.ts";
import { SysError } from "../error.ts";
import type { PathLike } from "../syscalls.ts";

/**
 * A path as a C string. A NUL inside would cut it short silently (`"/safe\0/../x"` opens `/safe`), so it is refused
 * here, as the kernel refuses what it cannot express.
 */
export function cString(path: PathLike, call: string): string | Uint8Array {
  if (typeof path === "string") {
    if (path.includes("\0")) throw nul(call, path);
    return path;
  }
  if (path.includes(0)) throw nul(call, printable(path));
  const terminated = Buffer.alloc(path.length + 1);
  terminated.set(path);
  return terminated;
}

/** A path for an error message. */
export function printable(path: PathLike): string {
  return typeof path === "string" ? path : Buffer.from(path.buffer, path.byteOffset, path.byteLength).toString();
}

function nul(call: string, path: string): SysError {
  return new SysError("EINVAL", Errno.EINVAL, call, `${call}: expected no NUL in ${JSON.stringify(path)}`, { path });
}
