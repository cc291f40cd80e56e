import { Writable } from "node:stream";

/** A line that is longer is passed on in parts; an endless one would be kept for ever. */
const MAX_LINE: number = 64 * 1024;
const NEWLINE = 0x0a;

/** Passes lines on with a name in front of each. The last one may be without an end. */
export class Prefixed extends Writable {
  readonly #prefix: Buffer;
  readonly #to: NodeJS.WritableStream;
  #rest: Buffer = Buffer.alloc(0);

  constructor(prefix: string, to: NodeJS.WritableStream) {
    super();
    this.#prefix = Buffer.from(prefix);
    this.#to = to;
  }

  override _write(chunk: Uint8Array, _encoding: BufferEncoding, done: () => void): void {
    let data = Buffer.concat([this.#rest, chunk]);
    for (let end = lineEnd(data); end > 0; end = lineEnd(data)) {
      this.#line(data.subarray(0, end));
      data = data.subarray(end);
    }
    this.#rest = Buffer.from(data);
    done();
  }

  override _final(done: () => void): void {
    if (this.#rest.length > 0) this.#line(this.#rest);
    done();
  }

  #line(line: Uint8Array): void {
    this.#to.write(Buffer.concat([this.#prefix, line, ...(line.at(-1) === NEWLINE ? [] : [Buffer.from("\n")])]));
  }
}

/** How long the first line is, with its end; 0 where there is none yet. */
function lineEnd(data: Uint8Array): number {
  const end = data.indexOf(NEWLINE) + 1;
  return end > 0 && end <= MAX_LINE ? end : data.length >= MAX_LINE ? MAX_LINE : 0;
}
