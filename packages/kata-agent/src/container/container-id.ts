import { createHash } from "node:crypto";
import { internalError } from "../error.ts";

/** Longest file name on Linux, in bytes; the id names a directory (spec golden-findings 10). */
const MAX_ID_BYTES = 255;

/** First a letter or digit of any script, then also `.`, `_` and `-`; at least two characters (spec 3.1, golden 10). */
const ID = /^[\p{Alphabetic}\p{N}][\p{Alphabetic}\p{N}._-]+$/u;

/** Refuses what is not a container id, with the texts of the real agent. */
export function checkContainerId(id: string): void {
  if (!ID.test(id)) throw internalError(`invalid container ID ${id}`);
  if (Buffer.byteLength(id) > MAX_ID_BYTES) throw internalError("File name too long (os error 36)");
}

/**
 * The name under which the runtime knows a container. Runtimes take ASCII only; other ids become a digest behind a
 * plus sign, which no container id holds, so that two ids never meet.
 */
export function runtimeId(id: string): string {
  return /^[\w.-]+$/.test(id) ? id : `+${createHash("sha256").update(id).digest("hex")}`;
}
