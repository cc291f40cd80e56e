import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { rmSync } from "node:fs";

const MKFS = "/usr/bin/mkfs.erofs";

/**
 * A read-only file system of a folder: everything owned by root, no times, no extended attributes, compressed as Kata
 * compresses it. `content` tells the folder's content, as a digest or text; the file system's name follows from it.
 */
export function makeErofs(folder: string, image: string, content: string): void {
  rmSync(image, { force: true });
  const args = ["-zlz4hc", "-Enoinline_data", "--all-root", "-T0", "-x-1", `-U${uuidOf(content)}`, image, folder];
  execFileSync(MKFS, args, { stdio: ["ignore", "ignore", "inherit"] });
}

/** A UUID of version 8 (RFC 9562): made from a digest by a rule of our own. */
export function uuidOf(content: string): string {
  const bytes = createHash("sha256").update("nacre file system\0").update(content).digest().subarray(0, 16);
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x80;
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80;
  const hex = bytes.toString("hex");
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
}
