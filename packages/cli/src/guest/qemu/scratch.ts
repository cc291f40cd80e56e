import { randomUUID } from "node:crypto";
import { closeSync, ftruncateSync, openSync, unlinkSync } from "node:fs";
import { join } from "node:path";

import { NacreError } from "../../error.ts";

/** Where the disk's bytes lie: /run, with the guest's other files, is memory. */
const FOLDER = "/var/tmp";

/**
 * Opens an empty disk that takes space as it is written. Its file has no name any more, so whatever ends the guest takes it
 * away. Throws `environment`.
 */
export function openScratch(bytes: number): number {
  const path = join(FOLDER, `nacre-scratch-${randomUUID()}`);
  let fd: number | undefined;
  try {
    fd = openSync(path, "wx+", 0o600);
    unlinkSync(path);
    ftruncateSync(fd, bytes);
    return fd;
  } catch (cause) {
    if (fd !== undefined) closeSync(fd);
    throw new NacreError("environment", `scratch disk of ${bytes} bytes in ${FOLDER}`, { cause });
  }
}
