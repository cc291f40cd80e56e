import { TrusteeError, type TrusteeErrorCode } from "./error.ts";

/** A JSON object of unknown content. */
export type Fields = Readonly<Record<string, unknown>>;

export function isFields(value: unknown): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value) && !ArrayBuffer.isView(value);
}

/**
 * Reads members of untrusted JSON by name and type. Each method throws TrusteeError with the reader's code, naming the
 * member, what was expected and the type of what was there, never its value.
 */
export class FieldReader {
  readonly #fields: Fields;
  readonly #what: string;
  readonly #code: TrusteeErrorCode;

  constructor(value: unknown, what: string, code: TrusteeErrorCode) {
    if (!isFields(value)) throw new TrusteeError(code, `${what}: expected an object, got ${typeName(value)}`);
    this.#fields = value;
    this.#what = what;
    this.#code = code;
  }

  get fields(): Fields {
    return this.#fields;
  }

  /** Own members only: `__proto__` or `toString` of a document are nothing to us. */
  get(name: string): unknown {
    return Object.hasOwn(this.#fields, name) ? this.#fields[name] : undefined;
  }

  text(name: string): string {
    const value = this.get(name);
    return typeof value === "string" ? value : this.fail(name, "text", value);
  }

  optionalText(name: string): string | undefined {
    return this.get(name) === undefined || this.get(name) === null ? undefined : this.text(name);
  }

  object(name: string): FieldReader {
    return new FieldReader(this.get(name), `${this.#what}.${name}`, this.#code);
  }

  list(name: string, maximum: number): readonly unknown[] {
    const value = this.get(name);
    if (!Array.isArray(value)) return this.fail(name, "a list", value);
    if (value.length > maximum) throw this.error(name, `expected at most ${maximum} elements, got ${value.length}`);
    return value as readonly unknown[];
  }

  /** An unsigned integer of so many bits. */
  unsigned(name: string, bits: number): bigint {
    const value = this.get(name);
    const number =
      typeof value === "bigint" ? value : Number.isSafeInteger(value) ? BigInt(value as number) : undefined;
    if (number === undefined || number < 0n || number >> BigInt(bits) !== 0n) {
      return this.fail(name, `an integer of ${bits} bits`, value);
    }
    return number;
  }

  /** A byte string written as a list of numbers, of exactly `length` bytes. */
  byteList(name: string, length: number): Buffer {
    const list = this.list(name, length);
    if (list.length !== length) throw this.error(name, `expected ${length} bytes, got ${list.length}`);
    return this.#bytes(name, list);
  }

  /** A byte string written as a list of numbers, of at most `maximum` bytes. */
  byteListUpTo(name: string, maximum: number): Buffer {
    return this.#bytes(name, this.list(name, maximum));
  }

  base64(name: string, maximum: number): Buffer {
    return decodeBase64(this.text(name), maximum, () => `${this.#what}.${name}`, this.#code);
  }

  hex(name: string, maximum: number): Buffer {
    return decodeHex(this.text(name), maximum, () => `${this.#what}.${name}`, this.#code);
  }

  error(name: string, what: string): TrusteeError {
    return new TrusteeError(this.#code, `${this.#what}.${name}: ${what}`);
  }

  fail(name: string, expected: string, got: unknown): never {
    throw this.error(name, `expected ${expected}, got ${typeName(got)}`);
  }

  #bytes(name: string, list: readonly unknown[]): Buffer {
    const bytes = Buffer.alloc(list.length);
    list.forEach((byte, at) => {
      if (typeof byte !== "number" || !Number.isInteger(byte) || byte < 0 || byte > 255) this.fail(name, "bytes", byte);
      bytes[at] = byte;
    });
    return bytes;
  }
}

/** Strict base64, standard or URL-safe, padded or not: Buffer.from drops what it does not know, which hides changes. */
export function decodeBase64(text: string, maximum: number, what: () => string, code: TrusteeErrorCode): Buffer {
  const body = text.replace(/={0,2}$/u, "");
  if (body.length > Math.ceil((maximum * 4) / 3)) {
    throw new TrusteeError(code, `${what()}: expected at most ${maximum} bytes of base64`);
  }
  if (!/^(?:[A-Za-z0-9+/]*|[A-Za-z0-9_-]*)$/u.test(body) || body.length % 4 === 1) {
    throw new TrusteeError(code, `${what()}: expected base64`);
  }
  const bytes = Buffer.from(body, "base64");
  const plain = body.replaceAll("-", "+").replaceAll("_", "/");
  // The last character's unused bits must be zero, or two texts would mean the same bytes.
  if (bytes.toString("base64").replace(/=+$/u, "") !== plain)
    throw new TrusteeError(code, `${what()}: expected base64`);
  return bytes;
}

export function decodeHex(text: string, maximum: number, what: () => string, code: TrusteeErrorCode): Buffer {
  if (text.length > maximum * 2) throw new TrusteeError(code, `${what()}: expected at most ${maximum} bytes of hex`);
  if (text.length % 2 !== 0 || !/^[0-9a-fA-F]*$/u.test(text)) throw new TrusteeError(code, `${what()}: expected hex`);
  return Buffer.from(text, "hex");
}

function typeName(value: unknown): string {
  if (value === null) return "null";
  return Array.isArray(value) ? "a list" : typeof value;
}
