import { readFile } from "node:fs/promises";

import { SysError } from "./error.ts";

/** One line of /proc/PID/mountinfo (proc(5)). */
export interface MountInfo {
  readonly id: number;
  readonly parentId: number;
  readonly major: number;
  readonly minor: number;
  /** The path inside the file system that is mounted here. */
  readonly root: string;
  readonly mountPoint: string;
  readonly options: readonly string[];
  /** `shared:3`, `master:1`, … */
  readonly propagation: readonly string[];
  readonly fsType: string;
  readonly source: string;
  readonly superOptions: readonly string[];
}

/** id, parent, major:minor, root, mount point, options, optional fields, `-`, type, source, super options */
const LINE = /^(\d+) (\d+) (\d+):(\d+) (\S+) (\S+) (\S+)((?: \S+)*?) - (\S+) (\S*) ?(\S*)$/u;

/** The mounts of a process's namespace, in the order in which the kernel lists them (a mount after what it covers). */
export async function mountInfo(pid: number | "self" = "self"): Promise<readonly MountInfo[]> {
  return parseMountInfo(await readFile(`/proc/${pid}/mountinfo`, "utf8"));
}

/** Parses the whole file. A line of any other form is an error: guessing at mounts leads to unmounting the wrong one. */
export function parseMountInfo(text: string): readonly MountInfo[] {
  return text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => parseLine(line));
}

function parseLine(line: string): MountInfo {
  const fields = LINE.exec(line);
  if (fields === null) {
    throw new SysError("parse", 0, "mountinfo", `mountinfo: expected 10 fields or more, got ${JSON.stringify(line)}`);
  }
  const [, id, parentId, major, minor, root, mountPoint, options, optional, fsType, source, superOptions] = fields;
  return {
    id: Number(id),
    parentId: Number(parentId),
    major: Number(major),
    minor: Number(minor),
    root: unescapeOctal(root ?? ""),
    mountPoint: unescapeOctal(mountPoint ?? ""),
    options: words(options, ","),
    propagation: words(optional, " "),
    fsType: unescapeOctal(fsType ?? ""),
    source: unescapeOctal(source ?? ""),
    superOptions: words(superOptions, ",").map((option) => unescapeOctal(option)),
  };
}

/** The kernel writes space, tab, newline, backslash and `#` as three octal digits; bytes, hence the detour. */
export function unescapeOctal(text: string): string {
  if (!text.includes("\\")) return text;
  const latin = Buffer.from(text).toString("latin1");
  const plain = latin.replaceAll(/\\([0-3][0-7]{2})/gu, (_, digits: string) =>
    String.fromCodePoint(Number.parseInt(digits, 8)),
  );
  return Buffer.from(plain, "latin1").toString();
}

function words(text: string | undefined, separator: string): readonly string[] {
  return (text ?? "").split(separator).filter((word) => word !== "");
}
