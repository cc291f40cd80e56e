import { lstatSync, symlinkSync } from "node:fs";

import { At, type FileCalls } from "@nacre/kata-sys-util";

import { NvrcError } from "./error.ts";

const S_IFCHR = 0o020000;

interface Node {
  readonly path: string;
  readonly major: number;
  readonly minor: number;
}

/** What every process may expect. Nothing that reaches the machine: no disks, no kernel log, no memory. */
export const NODES: readonly Node[] = [
  { path: "/dev/null", major: 1, minor: 3 },
  { path: "/dev/zero", major: 1, minor: 5 },
  { path: "/dev/full", major: 1, minor: 7 },
  { path: "/dev/random", major: 1, minor: 8 },
  { path: "/dev/urandom", major: 1, minor: 9 },
  { path: "/dev/tty", major: 5, minor: 0 },
];

const LINKS: Readonly<Record<string, string>> = {
  "/dev/fd": "/proc/self/fd",
  "/dev/stdin": "/proc/self/fd/0",
  "/dev/stdout": "/proc/self/fd/1",
  "/dev/stderr": "/proc/self/fd/2",
  "/dev/ptmx": "pts/ptmx",
};

/** Makes the nodes that a kernel with devtmpfs has made itself. */
export function makeDevices(sys: FileCalls): void {
  const umask = process.umask(0);
  try {
    for (const { path, major, minor } of NODES) {
      if (!isThere(path)) sys.mknodat(At.FDCWD, path, S_IFCHR | 0o666, major, minor);
    }
    for (const [path, target] of Object.entries(LINKS)) if (!isThere(path)) symlinkSync(target, path);
  } catch (cause) {
    throw new NvrcError("device", "device nodes", { cause });
  } finally {
    process.umask(umask);
  }
}

function isThere(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false }) !== undefined;
}
