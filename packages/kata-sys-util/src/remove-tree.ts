import { randomUUID } from "node:crypto";
import { closeSync, readdirSync } from "node:fs";

import { At, OpenFlag, Resolve } from "./constants.ts";
import { hasCode } from "./error.ts";
import type { FileCalls, PathLike } from "./syscalls.ts";

/**
 * How deep directories are kept open. A hostile tree may be a million levels deep: what lies below this is first moved
 * up to the top, so neither descriptors nor path lengths nor the stack grow with it.
 */
const MAX_DEPTH = 64;
/** Entries removed before other work of the event loop gets its turn. */
const ENTRIES_PER_TURN = 256;

const OPEN_DIRECTORY = {
  flags: OpenFlag.RDONLY | OpenFlag.DIRECTORY | OpenFlag.NOFOLLOW | OpenFlag.CLOEXEC,
  // A mount below is someone else's data: EXDEV.
  resolve: Resolve.NO_XDEV | Resolve.NO_SYMLINKS | Resolve.BENEATH,
};

interface Level {
  readonly fd: number;
  readonly name: PathLike;
  entries: Buffer[];
}

/** Removes `name` in `dirfd` with all below it, never following a symbolic link, never crossing a mount. */
export async function removeTree(sys: FileCalls, dirfd: number, name: PathLike): Promise<void> {
  if (tryUnlink(sys, dirfd, name)) return;
  const levels: Level[] = [];
  const enter = (parent: number, entry: PathLike): void => {
    const fd = sys.openat2(parent, entry, OPEN_DIRECTORY);
    // On the list before it is read, so that a failure closes it.
    const level: Level = { fd, name: entry, entries: [] };
    levels.push(level);
    level.entries = list(fd);
  };
  let turn = 0;
  try {
    enter(dirfd, name);
    while (levels.length > 0) {
      const level = levels.at(-1) as Level;
      const entry = level.entries.pop();
      turn += 1;
      if (turn % ENTRIES_PER_TURN === 0) await new Promise<void>((resolve) => setImmediate(resolve));
      if (entry === undefined) {
        levels.pop();
        closeSync(level.fd);
        leave(sys, levels.at(-1)?.fd ?? dirfd, level.name);
      } else if (!tryUnlink(sys, level.fd, entry)) {
        const top = levels[0] as Level;
        if (levels.length < MAX_DEPTH) enter(level.fd, entry);
        else {
          // Not to be guessed: a tree with an entry of this name could not be removed.
          const unique = Buffer.from(`.removing-${randomUUID()}`);
          sys.renameat2(level.fd, entry, top.fd, unique, 1);
          top.entries.push(unique);
        }
      }
    }
  } finally {
    for (const { fd } of levels) closeSync(fd);
  }
}

/** True if `entry` is gone; false if it is a directory. */
function tryUnlink(sys: FileCalls, dirfd: number, entry: PathLike): boolean {
  try {
    sys.unlinkat(dirfd, entry);
    return true;
  } catch (error) {
    if (hasCode(error, "ENOENT")) return true;
    if (hasCode(error, "EISDIR")) return false;
    throw error;
  }
}

function leave(sys: FileCalls, parent: number, name: PathLike): void {
  try {
    sys.unlinkat(parent, name, At.REMOVEDIR);
  } catch (error) {
    if (!hasCode(error, "ENOENT")) throw error;
  }
}

function list(fd: number): Buffer[] {
  return readdirSync(`/proc/self/fd/${fd}`, { encoding: "buffer" });
}
