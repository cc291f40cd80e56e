import type { LibC } from "../native.ts";
import type { FileStatus, OpenHow } from "../syscalls.ts";

/** UTIME_OMIT: leave this time as it is. */
const OMIT = 0x3ffffffen;
const SECOND = 1_000_000_000n;

/**
 * Memory for the calls that unpacking an image makes for every file, used again and again: a synchronous call is over
 * before the next begins. Fields are read and written where koffi laid them out.
 */
export class Blocks {
  readonly statx: Buffer;
  readonly #how: Buffer;
  readonly #times: Buffer;
  readonly #statxAt: Readonly<Record<string, number>>;
  readonly #howAt: Readonly<Record<string, number>>;
  readonly #timeAt: Readonly<Record<string, number>>;
  readonly #statxTimeAt: Readonly<Record<string, number>>;

  constructor(libc: LibC) {
    this.statx = libc.alloc("statx");
    this.#how = libc.alloc("open_how");
    this.#times = Buffer.concat([libc.alloc("timespec"), libc.alloc("timespec")]);
    this.#statxAt = libc.offsets("statx");
    this.#howAt = libc.offsets("open_how");
    this.#timeAt = libc.offsets("timespec");
    this.#statxTimeAt = libc.offsets("statx_timestamp");
  }

  openHow(how: OpenHow): Buffer {
    // Each field has 64 bits of which today's flags use the lower half; the upper stays zero.
    const block = this.#how;
    block.writeUInt32LE(how.flags, this.#howAt["flags"]);
    block.writeUInt32LE(how.mode ?? 0, this.#howAt["mode"]);
    block.writeUInt32LE(how.resolve ?? 0, this.#howAt["resolve"]);
    return block;
  }

  times(atimeNs: bigint | undefined, mtimeNs: bigint | undefined): Buffer {
    this.#timespec(atimeNs, 0);
    this.#timespec(mtimeNs, this.#times.length / 2);
    return this.#times;
  }

  /** What the last statx(2) put into {@link statx}. */
  fileStatus(): FileStatus {
    const [block, at] = [this.statx, this.#statxAt];
    return {
      mode: block.readUInt16LE(at["stx_mode"]),
      nlink: block.readUInt32LE(at["stx_nlink"]),
      uid: block.readUInt32LE(at["stx_uid"]),
      gid: block.readUInt32LE(at["stx_gid"]),
      ino: block.readBigUInt64LE(at["stx_ino"]),
      size: block.readBigUInt64LE(at["stx_size"]),
      rdevMajor: block.readUInt32LE(at["stx_rdev_major"]),
      rdevMinor: block.readUInt32LE(at["stx_rdev_minor"]),
      devMajor: block.readUInt32LE(at["stx_dev_major"]),
      devMinor: block.readUInt32LE(at["stx_dev_minor"]),
      atimeNs: this.#time(at["stx_atime"]),
      mtimeNs: this.#time(at["stx_mtime"]),
      ctimeNs: this.#time(at["stx_ctime"]),
    };
  }

  #time(start = 0): bigint {
    const seconds = this.statx.readBigInt64LE(start + (this.#statxTimeAt["tv_sec"] ?? 0));
    return seconds * SECOND + BigInt(this.statx.readUInt32LE(start + (this.#statxTimeAt["tv_nsec"] ?? 0)));
  }

  #timespec(ns: bigint | undefined, start: number): void {
    // Times before 1970 are negative seconds with nanoseconds that still count upwards.
    const nanoseconds = ns === undefined ? OMIT : ((ns % SECOND) + SECOND) % SECOND;
    const seconds = ns === undefined ? 0n : (ns - nanoseconds) / SECOND;
    this.#times.writeBigInt64LE(seconds, start + (this.#timeAt["tv_sec"] ?? 0));
    this.#times.writeBigInt64LE(nanoseconds, start + (this.#timeAt["tv_nsec"] ?? 0));
  }
}
