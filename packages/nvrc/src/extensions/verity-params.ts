import { NvrcError } from "../error.ts";

/** What opens a dm-verity device without superblock (section 1.6); Kata's root hash file holds the same. */
export interface VerityParams {
  /** SHA-256, lower-case hexadecimal. */
  readonly rootHash: string;
  /** Lower-case hexadecimal, up to 256 bytes. */
  readonly salt: string;
  readonly dataBlocks: number;
  /** Bytes, a power of two. */
  readonly dataBlockSize: number;
  readonly hashBlockSize: number;
}

/** As long as five fields with the longest salt can be; host-controlled. */
export const MAX_VERITY_TEXT = 1024;
/** The limits of veritysetup(8). */
const MIN_BLOCK = 512;
const MAX_BLOCK = 65_536;

/**
 * Parses `root_hash=…,salt=…,data_blocks=…,data_block_size=…,hash_block_size=…`. All five must be there, once each;
 * fields of other names are passed over. `subject` names the parameter in the message.
 */
export function parseVerityParams(text: string, subject: string): VerityParams {
  const refuse = (expected: string, got: string | undefined): never => {
    throw new NvrcError("extension", `${subject}: expected ${expected}, got ${got === undefined ? "none" : got}`);
  };
  if (text.length > MAX_VERITY_TEXT) refuse(`at most ${MAX_VERITY_TEXT} characters`, String(text.length));
  const pairs = text.split(",").map((field): readonly [string, string] => {
    const at = field.indexOf("=");
    return at < 0 ? [field, ""] : [field.slice(0, at), field.slice(at + 1)];
  });
  const field = (name: string, form: RegExp, expected: string): string => {
    const values = pairs.filter(([key]) => key === name).map(([, value]) => value);
    const [value] = values;
    if (value === undefined || values.length > 1) return refuse(`${name} once`, `${values.length} of it`);
    if (!form.test(value)) return refuse(`${name} of ${expected}`, JSON.stringify(value));
    return value.toLowerCase();
  };
  const blockSize = (name: string): number => {
    const size = Number(field(name, /^[0-9]{1,5}$/u, "bytes"));
    const isPower = (size & (size - 1)) === 0;
    return size >= MIN_BLOCK && size <= MAX_BLOCK && isPower ? size : refuse(`${name} of a block size`, String(size));
  };
  return {
    rootHash: field("root_hash", /^[0-9a-fA-F]{64}$/u, "64 hexadecimal digits"),
    salt: field("salt", /^(?:[0-9a-fA-F]{2}){1,256}$/u, "hexadecimal bytes"),
    dataBlocks: Number(field("data_blocks", /^[1-9][0-9]{0,14}$/u, "a number from 1")),
    dataBlockSize: blockSize("data_block_size"),
    hashBlockSize: blockSize("hash_block_size"),
  };
}

/** The same text for the same parameters. */
export function verityParamsText(params: VerityParams): string {
  return [
    `root_hash=${params.rootHash}`,
    `salt=${params.salt}`,
    `data_blocks=${params.dataBlocks}`,
    `data_block_size=${params.dataBlockSize}`,
    `hash_block_size=${params.hashBlockSize}`,
  ].join(",");
}
