import { closeSync, fstatSync, openSync, readSync, watch } from "node:fs";

import { NacreError } from "./error.ts";

const CHUNK: number = 64 * 1024;

export interface FollowOptions {
  /** Bytes to pass over at the beginning. Default: none. */
  readonly from?: number;
  /** Ends the following, without an error. What is there by then has been given. */
  readonly signal?: AbortSignal;
}

/**
 * The bytes of a file and what is appended to it, as it comes, until the signal or until the file is deleted. Sleeps on
 * changes of the file (inotify), not on a timer. Throws NacreError `input` when it cannot be opened.
 */
export async function* followFile(path: string, options: FollowOptions = {}): AsyncGenerator<Buffer, void, void> {
  const { signal } = options;
  let fd: number;
  try {
    fd = openSync(path, "r");
  } catch (cause) {
    throw new NacreError("input", `follow ${path}`, { cause });
  }
  let wake = (): void => {};
  let changed = new Promise<void>((resolve) => (wake = resolve));
  // The deletion of a file that is open shows as a change of its attributes.
  const watcher = watch(path, () => wake());
  watcher.on("error", () => wake());
  const aborted = (): void => wake();
  signal?.addEventListener("abort", aborted, { once: true });
  try {
    let at = options.from ?? 0;
    for (;;) {
      const changedOnce = changed;
      // Both are asked before the reading, so that what was appended before them is read.
      const last = signal?.aborted === true || fstatSync(fd).nlink === 0;
      for (;;) {
        const chunk = Buffer.allocUnsafe(CHUNK);
        const length = readSync(fd, chunk, 0, CHUNK, at);
        if (length === 0) break;
        at += length;
        yield chunk.subarray(0, length);
      }
      if (last) return;
      await changedOnce;
      changed = new Promise((resolve) => (wake = resolve));
    }
  } finally {
    signal?.removeEventListener("abort", aborted);
    watcher.close();
    closeSync(fd);
  }
}

/** A longer line is given in parts, unless somebody expects longer ones. */
const MAX_LINE: number = 64 * 1024;

/** Whole lines of some bytes, without their line feeds; what is left at the end is the last one. */
export async function* linesOf(
  chunks: AsyncIterable<Uint8Array>,
  maxLength: number = MAX_LINE,
): AsyncGenerator<string, void, void> {
  const decoder = new TextDecoder();
  let parts: string[] = [];
  let length = 0;
  for await (const chunk of chunks) {
    const [first = "", ...others] = decoder.decode(chunk, { stream: true }).split("\n");
    parts.push(first);
    length += first.length;
    if (others.length > 0) {
      yield parts.join("");
      const last = others.pop() ?? "";
      yield* others;
      parts = [last];
      length = last.length;
    }
    if (length > maxLength) {
      yield parts.join("");
      parts = [];
      length = 0;
    }
  }
  const rest = parts.join("") + decoder.decode();
  if (rest !== "") yield rest;
}
