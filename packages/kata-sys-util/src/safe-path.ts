import { Errno } from "./errno.ts";
import { SysError } from "./error.ts";
import { printable } from "./linux/path.ts";
import type { PathLike } from "./syscalls.ts";

const SLASH = 0x2f;

/** A path taken apart at its last component. An empty parent is the root itself. */
export interface SplitPath {
  readonly parent: PathLike;
  readonly name: PathLike;
}

/**
 * Splits off the last component, for the *at calls, which act on a name in a directory. The name is what is created or
 * removed, so `.` and `..` are refused: they name something else than their own directory entry.
 */
export function splitPath(path: PathLike, call: string): SplitPath {
  const { parent, name } = typeof path === "string" ? splitText(path) : splitBytes(path);
  const text = printable(name);
  if (text === "" || text === "." || text === "..") {
    const shown = printable(path);
    throw new SysError(
      "EINVAL",
      Errno.EINVAL,
      call,
      `${call}: expected a name at the end of ${JSON.stringify(shown)}`,
      {
        path: shown,
      },
    );
  }
  return { parent, name };
}

/** The components without `.` and empty ones; `..` stays, for the kernel to resolve among symbolic links. */
export function components(path: PathLike): readonly PathLike[] {
  if (typeof path === "string") return path.split("/").filter((part) => part !== "" && part !== ".");
  const parts: PathLike[] = [];
  let rest = path;
  while (rest.length > 0) {
    const slash = rest.indexOf(SLASH);
    const part = slash === -1 ? rest : rest.subarray(0, slash);
    rest = slash === -1 ? rest.subarray(rest.length) : rest.subarray(slash + 1);
    if (part.length > 0 && !(part.length === 1 && part[0] === 0x2e)) parts.push(part);
  }
  return parts;
}

/** Puts components together again. */
export function joinPath(parts: readonly PathLike[]): PathLike {
  if (parts.every((part) => typeof part === "string")) return parts.join("/");
  return Buffer.concat(parts.flatMap((part, index) => (index === 0 ? [bytes(part)] : [Buffer.from("/"), bytes(part)])));
}

function bytes(part: PathLike): Uint8Array {
  return typeof part === "string" ? Buffer.from(part) : part;
}

function splitText(path: string): { parent: string; name: string } {
  let end = path.length;
  while (end > 0 && path.charCodeAt(end - 1) === SLASH) end -= 1;
  const slash = path.lastIndexOf("/", end - 1);
  // lastIndexOf treats a negative position as 0.
  if (end === 0 || slash === -1) return { parent: "", name: path.slice(0, end) };
  return { parent: path.slice(0, slash), name: path.slice(slash + 1, end) };
}

function splitBytes(path: Uint8Array): { parent: Uint8Array; name: Uint8Array } {
  let end = path.length;
  while (end > 0 && path[end - 1] === SLASH) end -= 1;
  const slash = path.subarray(0, end).lastIndexOf(SLASH);
  return { parent: path.subarray(0, Math.max(slash, 0)), name: path.subarray(slash + 1, end) };
}
