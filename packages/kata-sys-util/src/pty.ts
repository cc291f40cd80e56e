import { closeSync } from "node:fs";

import { At, Ioctl, OpenFlag } from "./constants.ts";
import { Errno } from "./errno.ts";
import { SysError } from "./error.ts";
import type { DescriptorCalls, FileCalls } from "./syscalls.ts";

/** A new pseudo-terminal. Both descriptors are CLOEXEC and the caller's to close. */
export interface PtyPair {
  readonly master: number;
  readonly slave: number;
  /** `/dev/pts/N` in the mount namespace that made it. */
  readonly slavePath: string;
}

/** Rows and columns of a terminal, 0 to 65535. */
export interface WindowSize {
  readonly rows: number;
  readonly cols: number;
}

/** The size of `struct winsize`; a test compares it with the C library's. */
const WINSIZE = 8;
const MAX_CELLS = 0xffff;

/** Opens a pseudo-terminal; the slave without its path, which another mount may hide. */
export function openPtyPair(sys: FileCalls & DescriptorCalls): PtyPair {
  const flags = OpenFlag.RDWR | OpenFlag.NOCTTY | OpenFlag.CLOEXEC;
  const master = sys.openat(At.FDCWD, "/dev/ptmx", flags);
  try {
    sys.ioctl(master, Ioctl.TIOCSPTLCK, Buffer.alloc(4));
    const number = ptyNumber(sys, master);
    return { master, slave: sys.ioctl(master, Ioctl.TIOCGPTPEER, flags), slavePath: `/dev/pts/${number}` };
  } catch (error) {
    closeSync(master);
    throw error;
  }
}

/** The N of `/dev/pts/N`. ENOTTY if the descriptor is not the master of a pseudo-terminal. */
export function ptyNumber(sys: DescriptorCalls, master: number): number {
  const number = Buffer.alloc(4);
  sys.ioctl(master, Ioctl.TIOCGPTN, number);
  return number.readUInt32LE(0);
}

/** TIOCSWINSZ: the programs in the terminal get SIGWINCH. */
export function setWindowSize(sys: DescriptorCalls, fd: number, size: WindowSize): void {
  if (!isCells(size.rows) || !isCells(size.cols)) {
    const got = `${size.rows} rows, ${size.cols} columns`;
    throw new SysError("EINVAL", Errno.EINVAL, "ioctl", `TIOCSWINSZ: expected 0 to ${MAX_CELLS}, got ${got}`);
  }
  const block = Buffer.alloc(WINSIZE);
  block.writeUInt16LE(size.rows, 0);
  block.writeUInt16LE(size.cols, 2);
  sys.ioctl(fd, Ioctl.TIOCSWINSZ, block);
}

export function windowSize(sys: DescriptorCalls, fd: number): WindowSize {
  const block = Buffer.alloc(WINSIZE);
  sys.ioctl(fd, Ioctl.TIOCGWINSZ, block);
  return { rows: block.readUInt16LE(0), cols: block.readUInt16LE(2) };
}

function isCells(value: number): boolean {
  return Number.isInteger(value) && value >= 0 && value <= MAX_CELLS;
}
