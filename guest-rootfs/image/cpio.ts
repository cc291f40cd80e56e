/** One entry of an initramfs; owner is root, times are zero. */
export interface CpioEntry {
  /** Relative, without a leading slash. */
  readonly path: string;
  /** File type and permissions, as in `st_mode`. */
  readonly mode: number;
  /** Of a file its bytes, of a link its target. */
  readonly bytes?: Buffer;
  readonly device?: { readonly major: number; readonly minor: number };
}

export const S_IFCHR = 0o020000;
export const S_IFDIR = 0o040000;
export const S_IFREG = 0o100000;
export const S_IFLNK = 0o120000;

const MAGIC = "070701";
const TRAILER = "TRAILER!!!";

/** An archive in the kernel's "newc" format; the same entries give the same bytes. */
export function cpio(entries: readonly CpioEntry[]): Buffer {
  // Inode numbers from 1: equal ones would be hard links.
  const parts = entries.flatMap((entry, index) => record(entry, index + 1));
  return Buffer.concat([...parts, ...record({ path: TRAILER, mode: 0 }, 0)]);
}

function record({ path, mode, bytes = Buffer.alloc(0), device }: CpioEntry, inode: number): Buffer[] {
  const name = Buffer.from(`${path}\0`);
  const links = (mode & S_IFDIR) === S_IFDIR ? 2 : 1;
  const { major, minor } = device ?? { major: 0, minor: 0 };
  // ino mode uid gid nlink mtime filesize devmajor devminor rdevmajor rdevminor namesize check
  const fields = [inode, mode, 0, 0, links, 0, bytes.length, 0, 0, major, minor, name.length, 0];
  const head = Buffer.from(MAGIC + fields.map((field) => field.toString(16).padStart(8, "0")).join(""));
  return [padded(Buffer.concat([head, name])), padded(bytes)];
}

function padded(bytes: Buffer): Buffer {
  const missing = (4 - (bytes.length % 4)) % 4;
  return missing === 0 ? bytes : Buffer.concat([bytes, Buffer.alloc(missing)]);
}
