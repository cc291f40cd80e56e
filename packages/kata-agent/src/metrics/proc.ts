import { readBounded } from "../read-bounded.ts";

/** Reads a file below /proc; undefined where it is not there, as without the kernel's option for it. */
export type ReadProc = (path: string) => string | undefined;

/** Bytes; /proc/stat of a machine with a thousand processors has two hundred thousand. */
const MAX_FILE: number = 1024 * 1024;

export const readProc: ReadProc = (path) => {
  try {
    return readBounded(`/proc/${path}`, MAX_FILE).toString("latin1");
  } catch {
    return undefined;
  }
};

/** Numbers of one line. */
export function fields(line: string): readonly number[] {
  return line
    .trim()
    .split(/\s+/u)
    .filter((word) => word !== "")
    .map((word) => (/^\d+(?:\.\d+)?$/u.test(word) ? Number(word) : 0));
}

/** `Key: 12 kB` and `key 12`, line by line, to the number as it stands there. */
export function keyed(text: string): ReadonlyMap<string, number> {
  const found = new Map<string, number>();
  for (const line of text.split("\n")) {
    const [, key, number] = /^([^\s:]+):?\s+(\d+)(?:\s|$)/u.exec(line) ?? [];
    if (key !== undefined) found.set(key, Number(number));
  }
  return found;
}
