import { PullError } from "../error.ts";
import { BLOCK, isZeroBlock, parseHeader, type TarHeader } from "./header.ts";
import { applyPax, parsePax } from "./pax.ts";

/** What an archive is made into. The calls come in the archive's order and synchronously. */
export interface TarHandler {
  /** A member begins; `size` bytes of data follow. */
  entry(header: TarHeader): void;
  /** The next part of the member's data. It is only valid during the call. */
  data(chunk: Uint8Array): void;
  /** The member is complete. */
  end(): void;
}

/** Room for an attribute list of 64 KiB in base64 and long names; longer headers are an attack on memory. */
export const MAX_EXTENDED_HEADER: number = 1024 * 1024;
/** PATH_MAX: the kernel takes no longer name. */
export const MAX_NAME = 4096;

type State = "header" | "data" | "padding" | "extended" | "end";

/**
 * Takes an archive in chunks of any size and calls a handler for each member. Only one header is ever held; data is
 * passed on as it comes.
 *
 * It reads what Go's archive/tar reads, which images are made for: ustar, pax, GNU long names, base-256 numbers. It
 * stops at the end-of-archive marker; what follows (the caller still hashes it) is never a member. Global pax headers
 * are read over, as Go does. Two extended headers of a kind for one member, or both ways of naming it, are refused:
 * readers differ on which one counts.
 */
export class TarParser {
  readonly #handler: TarHandler;
  readonly #block: Buffer = Buffer.alloc(BLOCK);
  #state: State = "header";
  /** Bytes gathered in #block, or in #extended. */
  #filled = 0;
  /** Bytes still to come in this state. */
  #left = 0;
  #padding = 0;
  #zeroBlock = false;
  #extended: Buffer = Buffer.alloc(0);
  #extendedType = "";
  #pax: ReadonlyMap<string, Buffer> | undefined;
  #longName: string | undefined;
  #longLink: string | undefined;

  constructor(handler: TarHandler) {
    this.#handler = handler;
  }

  /** Whether the end-of-archive marker has been seen. */
  get ended(): boolean {
    return this.#state === "end";
  }

  /** @throws PullError `tar`, `unsupported` or `limit`, and whatever the handler throws. */
  push(chunk: Buffer): void {
    let at = 0;
    while (at < chunk.length && this.#state !== "end") {
      if (this.#state === "header") {
        at = this.#gatherHeader(chunk, at);
        continue;
      }
      const take = Math.min(this.#left, chunk.length - at);
      if (this.#state === "data") this.#handler.data(chunk.subarray(at, at + take));
      else if (this.#state === "extended") this.#filled += chunk.copy(this.#extended, this.#filled, at, at + take);
      at += take;
      this.#left -= take;
      if (this.#left === 0) this.#leave();
    }
  }

  /** @throws PullError `tar` when the archive ends in the middle of a member. */
  finish(): void {
    if (this.#state === "end") return;
    const whole = this.#state === "header" && this.#filled === 0 && !this.#hasExtension();
    if (!whole) throw new PullError("tar", "the archive ends in the middle of a member");
    this.#state = "end";
  }

  #gatherHeader(chunk: Buffer, at: number): number {
    if (this.#filled === 0 && chunk.length - at >= BLOCK) {
      this.#header(chunk.subarray(at, at + BLOCK));
      return at + BLOCK;
    }
    const copied = chunk.copy(this.#block, this.#filled, at);
    this.#filled += copied;
    if (this.#filled === BLOCK) {
      this.#filled = 0;
      this.#header(this.#block);
    }
    return at + copied;
  }

  #header(block: Buffer): void {
    if (block[0] === 0 && isZeroBlock(block)) {
      if (this.#hasExtension()) throw new PullError("tar", "an extended header without its member");
      if (this.#zeroBlock) this.#state = "end";
      this.#zeroBlock = true;
      return;
    }
    if (this.#zeroBlock) throw new PullError("tar", "a member after a block of zeros");
    const header = parseHeader(block);
    if (header.size < 0) throw new PullError("tar", "tar header: negative size");
    if ("xgLK".includes(header.type)) {
      this.#beginExtended(header);
      return;
    }
    this.#beginMember(header);
  }

  #beginExtended({ type, size }: TarHeader): void {
    if (size > MAX_EXTENDED_HEADER) {
      throw new PullError("limit", `extended header of ${size} bytes, at most ${MAX_EXTENDED_HEADER}`);
    }
    this.#extendedType = type;
    this.#extended = Buffer.alloc(size);
    this.#filled = 0;
    this.#enter("extended", size);
  }

  #beginMember(raw: TarHeader): void {
    let header = raw;
    if (this.#longName !== undefined) header = { ...header, name: this.#longName };
    if (this.#longLink !== undefined) header = { ...header, link: this.#longLink };
    if (this.#pax !== undefined) {
      if (this.#longName !== undefined && this.#pax.has("path")) throw new PullError("tar", "a member with two names");
      if (this.#longLink !== undefined && this.#pax.has("linkpath")) {
        throw new PullError("tar", "a member with two link targets");
      }
      header = applyPax(header, this.#pax);
    }
    if (header.name.length > MAX_NAME || header.link.length > MAX_NAME) {
      throw new PullError("limit", `a name longer than ${MAX_NAME} bytes`);
    }
    // Before POSIX, directories were files with a slash at the end; with today's type flag the slash means nothing.
    if (header.type === "\0") header = { ...header, type: header.name.endsWith("/") ? "5" : "0" };
    // Of the others only files have data; both Go and GNU tar take no notice of the size of a link.
    const size = "12346".includes(header.type) || (header.type === "5" && raw.type === "5") ? 0 : header.size;
    this.#pax = this.#longName = this.#longLink = undefined;
    this.#handler.entry({ ...header, size });
    this.#enter("data", size);
  }

  #enter(state: "data" | "extended", size: number): void {
    this.#state = state;
    this.#left = size;
    this.#padding = (BLOCK - (size % BLOCK)) % BLOCK;
    if (size === 0) this.#leave();
  }

  #leave(): void {
    if (this.#state === "padding") {
      this.#state = "header";
      return;
    }
    if (this.#state === "data") this.#handler.end();
    else this.#endExtended();
    this.#filled = 0;
    this.#left = this.#padding;
    this.#state = this.#padding === 0 ? "header" : "padding";
  }

  #endExtended(): void {
    const data = this.#extended;
    this.#extended = Buffer.alloc(0);
    const twice = (): PullError => new PullError("tar", "two extended headers of one kind for one member");
    if (this.#extendedType === "x") {
      if (this.#pax !== undefined) throw twice();
      this.#pax = parsePax(data);
    } else if (this.#extendedType === "g") {
      parsePax(data);
    } else {
      const end = data.indexOf(0);
      const name = data.toString("latin1", 0, end < 0 ? data.length : end);
      if (this.#extendedType === "L") {
        if (this.#longName !== undefined) throw twice();
        this.#longName = name;
      } else {
        if (this.#longLink !== undefined) throw twice();
        this.#longLink = name;
      }
    }
  }

  #hasExtension(): boolean {
    return this.#pax !== undefined || this.#longName !== undefined || this.#longLink !== undefined;
  }
}
