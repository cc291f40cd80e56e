import { closeSync, fstatSync, openSync, readSync } from "node:fs";

/** Bytes of the log's end that are looked at. */
const MAX_TAIL: number = 64 * 1024;
/** Lines that go into the message when a guest does not start. */
const MAX_LINES = 10;
/** What init, the first stage of a measured boot, the kernel, the agent and QEMU say when they cannot go on. */
const TELLING =
  /NVRC panic|stage1: |Kernel panic|^kata-agent: |^qemu-system-|FATAL|dm-verity device corrupted|device-mapper: verity: .*corrupted|^guest: /u;

/** Why a guest ended, in its own words: the log goes with it, and the cause is there. */
export function lastWords(log: string): string {
  return tellingLines(readTail(log)).join("\n");
}

/** The lines that tell why, else the last ones: a kernel's panic ends with dozens that tell nothing. */
export function tellingLines(text: string): readonly string[] {
  const lines = text.split(/\r?\n/u).filter((line) => line.trim() !== "");
  const telling = lines.filter((line) => TELLING.test(line));
  return (telling.length > 0 ? telling : lines).slice(-MAX_LINES);
}

function readTail(path: string): string {
  let fd: number;
  try {
    fd = openSync(path, "r");
  } catch {
    return "";
  }
  try {
    const { size } = fstatSync(fd);
    const tail = Buffer.alloc(Math.min(size, MAX_TAIL));
    const length = readSync(fd, tail, 0, tail.length, size - tail.length);
    return tail.toString("utf8", 0, length);
  } finally {
    closeSync(fd);
  }
}
