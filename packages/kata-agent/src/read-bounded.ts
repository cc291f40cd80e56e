import { closeSync, constants, fstatSync, openSync, readSync } from "node:fs";

/** The bytes of a regular file. Throws for one with more than `max` before it takes room for them, and Node's errors. */
export function readBounded(path: string, max: number): Buffer {
  // A pipe is not waited for.
  const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const file = fstatSync(fd);
    if (!file.isFile()) throw new Error(`${path}: expected a regular file`);
    if (file.size > max) throw new Error(`${path}: expected at most ${max} bytes, got ${file.size}`);
    // A file of the kernel's does not say its length, and one that grows says it too early.
    const buffer = Buffer.alloc(max + 1);
    let length = 0;
    while (length < buffer.length) {
      const count = readSync(fd, buffer, length, buffer.length - length, null);
      if (count === 0) return buffer.subarray(0, length);
      length += count;
    }
    throw new Error(`${path}: expected at most ${max} bytes, got more`);
  } finally {
    closeSync(fd);
  }
}
