import { closeSync, constants, openSync, renameSync, writeSync } from "node:fs";

/** Readable by root alone, and never a link that somebody else has put there. */
const FLAGS = constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC | constants.O_NOFOLLOW;
const MODE = 0o600;

/**
 * A log file that never takes more than twice its limit: a full one becomes `<path>.1`, in place of the one before.
 * Writing is best effort, because a log that cannot be written must end nobody.
 */
export class BoundedLogFile implements Disposable {
  readonly path: string;
  readonly #limit: number;
  #fd: number;
  #size = 0;
  #lost = 0;

  constructor(path: string, limit: number) {
    this.path = path;
    this.#limit = limit;
    this.#fd = openSync(path, FLAGS, MODE);
  }

  /** Lines that could not be written, for want of space. */
  get lost(): number {
    return this.#lost;
  }

  append(lines: readonly string[]): void {
    // Byte for byte: the lines were read as Latin-1.
    const bytes = Buffer.from(lines.map((line) => `${line}\n`).join(""), "latin1");
    try {
      if (this.#size > 0 && this.#size + bytes.length > this.#limit) this.#turn();
      this.#size += writeSync(this.#fd, bytes);
    } catch {
      this.#lost += lines.length;
    }
  }

  [Symbol.dispose](): void {
    closeSync(this.#fd);
  }

  #turn(): void {
    renameSync(this.path, `${this.path}.1`);
    const fresh = openSync(this.path, FLAGS, MODE);
    closeSync(this.#fd);
    this.#fd = fresh;
    this.#size = 0;
  }
}
