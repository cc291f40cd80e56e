import { KbsProtocolError } from "../error.ts";
import { parseStrictJson } from "../strict-json.ts";

/** Content is always encrypted with this. */
export const A256GCM = "A256GCM";
export const CEK_BYTES = 32;
export const IV_BYTES = 12;
export const TAG_BYTES = 16;

/** Characters of a reply: a resource of 8 MiB and its frame. A KBS takes 2 MB by default. */
export const MAX_REPLY: number = 12 * 1024 * 1024;
const MAX_HEADER = 8 * 1024;

/** An encrypted reply (RFC 7516, section 7.2.2), its parts decoded. */
export interface FlattenedJwe {
  /** The header's text as it was sent: what is authenticated beside the ciphertext. */
  readonly protected: string;
  readonly header: Readonly<Record<string, unknown>>;
  readonly encryptedKey: Buffer;
  readonly iv: Buffer;
  readonly ciphertext: Buffer;
  readonly tag: Buffer;
  readonly aad: string | undefined;
}

/** Throws KbsProtocolError `jwe`, `json` or `too-long`. */
export function parseFlattenedJwe(text: string): FlattenedJwe {
  if (text.length > MAX_REPLY) {
    throw new KbsProtocolError(
      "too-long",
      `encrypted reply: expected at most ${MAX_REPLY} characters, got ${text.length}`,
    );
  }
  const outer = object(parseStrictJson(text, "encrypted reply"), "an object");
  const part = (name: string): string => {
    const value = outer[name];
    if (typeof value !== "string") throw bad(`the text ${name}`);
    return value;
  };
  // Headers that nobody authenticates have no business here.
  for (const name of ["header", "unprotected", "recipients"]) {
    if (outer[name] !== undefined) throw bad(`no member ${name}`);
  }
  const head = part("protected");
  if (head.length > MAX_HEADER) throw bad(`a header of at most ${MAX_HEADER} characters`);
  const header = object(
    parseStrictJson(bytes(head, "protected").toString("utf8"), "encrypted reply's header"),
    "an object as header",
  );
  if (header["crit"] !== undefined || header["zip"] !== undefined) throw bad("neither crit nor zip in the header");
  return {
    protected: head,
    header,
    encryptedKey: bytes(part("encrypted_key"), "encrypted_key"),
    iv: sized(bytes(part("iv"), "iv"), IV_BYTES, "iv"),
    ciphertext: bytes(part("ciphertext"), "ciphertext"),
    tag: sized(bytes(part("tag"), "tag"), TAG_BYTES, "tag"),
    aad: outer["aad"] === undefined || outer["aad"] === null ? undefined : part("aad"),
  };
}

/** What the tag covers beside the ciphertext. */
export function authenticated({ protected: head, aad }: Pick<FlattenedJwe, "aad" | "protected">): Buffer {
  return Buffer.from(aad === undefined ? head : `${head}.${aad}`, "latin1");
}

export function bad(what: string, cause?: unknown): KbsProtocolError {
  return new KbsProtocolError("jwe", `encrypted reply: expected ${what}`, cause === undefined ? {} : { cause });
}

function bytes(text: string, name: string): Buffer {
  if (!/^[A-Za-z0-9_-]*$/u.test(text) || text.length % 4 === 1) throw bad(`base64url without padding as ${name}`);
  return Buffer.from(text, "base64url");
}

function sized(value: Buffer, size: number, name: string): Buffer {
  if (value.length !== size) throw bad(`${size} bytes as ${name}, got ${value.length}`);
  return value;
}

function object(value: unknown, what: string): Record<string, unknown> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw bad(what);
  return value as Record<string, unknown>;
}
